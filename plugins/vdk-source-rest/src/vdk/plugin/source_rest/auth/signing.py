# SPDX-License-Identifier: Apache-2.0
"""Signed credentials, by libraries: JSON Web Tokens (RFC 7519) and requests of AWS (Signature Version 4)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import requests
from msgspec import Meta
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration, Secret

_RENEW_BEFORE = 30.0
"""Seconds before it expires that a token is signed again."""


class JwtOptions(DataSourceConfig):
    """How a token is signed."""

    private_key: Annotated[Secret | None, Meta(description="the private key (PEM)")] = None
    private_key_file: Annotated[Path | None, Meta(description="the file of the private key")] = None
    algorithm: Annotated[Literal["RS256", "ES256"], Meta(description="how the token is signed")] = "RS256"
    key_id: Annotated[str | None, Meta(description="the name of the key (kid), if the server needs it")] = None
    issuer: Annotated[str | None, Meta(description="who signs (iss)")] = None
    subject: Annotated[str | None, Meta(description="for whom (sub)")] = None
    audience: Annotated[str | None, Meta(description="for which server (aud)")] = None
    claims: Annotated[dict[str, str], Meta(description="further claims, such as scope")] = msgspec.field(
        default_factory=dict
    )
    lifetime: Annotated[Duration, Meta(description="how long a token is valid")] = Duration(minutes=5)


class JwtAuth(JwtOptions, tag_field="type", tag="jwt"):
    """A token that the source signs itself, in the ``Authorization`` header (GitHub Apps, App Store Connect)."""


class AwsAuth(DataSourceConfig, tag_field="type", tag="aws_sigv4"):
    """Requests signed for AWS."""

    service: Annotated[str, Meta(min_length=1, description='the service, as in "execute-api"')]
    region: Annotated[str, Meta(min_length=1, description='the region, as in "eu-central-1"')]
    access_key: Annotated[Secret | None, Meta(description="the access key. Default: as the AWS tools find it")] = None
    secret_key: Annotated[Secret | None, Meta(description="the secret key")] = None
    session_token: Annotated[Secret | None, Meta(description="the token of temporary credentials")] = None


def check_jwt(options: JwtOptions, location: str) -> None:
    """Raise ``ConfigurationError`` unless there is exactly one key."""
    if (options.private_key is None) == (options.private_key_file is None):
        raise ConfigurationError(
            f'{location}: set one of private_key and private_key_file, as in private_key_file = "key.pem"'
        )


def signed_token(options: JwtOptions, **defaults: str) -> str:
    """A token that is valid from now on.

    :param defaults: claims where none is configured.
    """
    try:
        import jwt
    except ImportError:
        raise ConfigurationError(
            "auth needs PyJWT, which is not installed; pip install 'vdk-source-rest[jwt]'"
        ) from None
    now = int(time.time())
    named = {"iss": options.issuer, "sub": options.subject, "aud": options.audience}
    claims: dict[str, Any] = defaults | {name: value for name, value in named.items() if value is not None}
    claims |= {"iat": now - 10, "exp": now + int(options.lifetime.total_seconds()), **options.claims}
    headers = {"kid": options.key_id} if options.key_id is not None else None
    try:
        return jwt.encode(claims, _key(options), algorithm=options.algorithm, headers=headers)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"auth.private_key is not a key for {options.algorithm} ({type(error).__name__}); it is the text of a PEM "
            'file that begins with -----BEGIN, for ES256 of the curve P-256: private_key_file = "key.pem"'
        ) from None


def _key(options: JwtOptions) -> str:
    if options.private_key is not None:
        return options.private_key.reveal()
    assert options.private_key_file is not None
    try:
        return options.private_key_file.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"auth.private_key_file: {options.private_key_file} cannot be read ({error.strerror})"
        ) from None


class Jwt(AuthBase):
    """Puts a token on requests, and signs another one before it expires."""

    def __init__(self, config: JwtAuth) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if time.monotonic() >= self._renew_at:
                lifetime = self._config.lifetime.total_seconds()
                self._token = signed_token(self._config)
                self._renew_at = time.monotonic() + max(lifetime - _RENEW_BEFORE, lifetime / 2)
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def secrets(self) -> list[str]:
        return [self._token] if self._token else []


class AwsSignature(AuthBase):
    """Signs each request as it is sent."""

    def __init__(self, config: AwsAuth) -> None:
        try:
            from botocore.auth import SigV4Auth
            from botocore.credentials import Credentials
            from botocore.session import get_session
        except ImportError:
            raise ConfigurationError(
                "auth needs botocore, which is not installed; pip install 'vdk-source-rest[aws]'"
            ) from None
        if config.access_key is not None and config.secret_key is not None:
            token = config.session_token.reveal() if config.session_token is not None else None
            credentials: Any = Credentials(config.access_key.reveal(), config.secret_key.reveal(), token)
        else:
            credentials = get_session().get_credentials()
        if credentials is None:
            raise ConfigurationError(
                "auth: no credentials of AWS were found; set access_key and secret_key, as in "
                'access_key = "AKIA...", secret_key = "${secret:aws}"'
            )
        self._signer = SigV4Auth(credentials, config.service, config.region)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        from botocore.awsrequest import AWSRequest

        path, mark, query = (request.url or "").partition("?")
        request.url = path + mark + query.replace("+", "%20")  # a blank, which AWS signs in this form
        # of the headers only those that no proxy changes
        headers = {name: value for name, value in request.headers.items() if name.lower() in _SIGNED}
        signed = AWSRequest(method=request.method, url=request.url, data=request.body, headers=headers)
        self._signer.add_auth(signed)
        for name, value in signed.headers.items():
            request.headers[name] = value
        return request


_SIGNED = ("content-type", "x-amz-target", "accept")


def check_aws(config: AwsAuth, location: str) -> None:
    """Raise ``ConfigurationError`` for one half of a pair of keys."""
    if (config.access_key is None) != (config.secret_key is None):
        raise ConfigurationError(f"{location}: access_key and secret_key belong together; set both or none")
