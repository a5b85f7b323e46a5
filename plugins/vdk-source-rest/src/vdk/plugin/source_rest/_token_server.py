"""A token server: its own origin, the only one that a client's secret goes to."""

from __future__ import annotations

import requests
from requests.auth import AuthBase
from requests.utils import get_environ_proxies

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from ._connections import Session, TooMuch
from ._content import Unfit, whole
from ._origin import Origin
from ._transport import Limits, trusted

LARGEST = 1024 * 1024


class TokenServer:
    """Posts forms. A redirect is an error: what is posted holds secrets."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, url: str, form: str, auth: AuthBase | None) -> tuple[int, bytes]:
        origin = Origin.of(url)
        try:
            with (
                Session(self._limits.total, LARGEST) as session,
                session.post(
                    url,
                    data=form,
                    auth=auth,
                    headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                    stream=True,
                    timeout=(self._limits.connect, self._limits.read),
                    allow_redirects=False,
                    verify=trusted(self._limits),
                    proxies=get_environ_proxies(url),
                ) as response,
            ):
                if response.is_redirect:
                    raise ConfigurationError(
                        f"the token server {origin} redirects, and secrets are not sent on; name the right token_url"
                    )
                return response.status_code, whole(response, LARGEST, remedy=False)
        except Unfit as error:
            raise ConfigurationError(f"the token server {origin}: {error}; is token_url right?") from None
        except (TooMuch, ConnectionFailedError) as error:
            raise ConnectionFailedError(f"the token server {origin}: {error}") from None
        except requests.exceptions.SSLError:
            raise ConfigurationError(f"the token server {origin}: its certificate is not trusted") from None
        except requests.RequestException as error:
            raise ConnectionFailedError(f"the token server {origin}: {type(error).__name__}") from None
