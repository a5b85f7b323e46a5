# SPDX-License-Identifier: Apache-2.0
"""Recordings: the responses of a run as files without secrets, and a run that reads them and uses no network."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError

from .types import HttpRequest, HttpResponse
from .urls import mask_url

_LEFT_OUT = ("set-cookie", "authorization", "www-authenticate", "content-encoding", "transfer-encoding")
"""Headers of one connection, or with secrets that nobody has declared."""


class Recording:
    """A folder with one file for each response. The same request again has further files.

    :param redact: masks the secrets in a text. Requests are compared with their secrets masked.
    """

    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        self._folder = folder
        self._redact = redact
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def put(self, response: HttpResponse) -> None:
        """Raises ``ConfigurationError`` if the folder cannot be written to."""
        request, text = response.request, _text(response.content)
        stored = {
            "method": request.method,
            "url": self._redact(mask_url(response.url)),
            "status": response.status,
            "headers": {name: self._redact(value) for name, value in response.headers.items() if name not in _LEFT_OUT},
            **(
                {"text": self._redact(text)}
                if text is not None
                else {"base64": b64encode(response.content).decode("ascii")}
            ),
        }
        path = self._next(request)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(stored, indent=1, ensure_ascii=False), "utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"record: {path} cannot be written ({error.strerror}); name a writable folder, as in "
                'record = "recorded"'
            ) from None

    def get(self, request: HttpRequest) -> HttpResponse | None:
        """The next response to a request; None: there is no further one."""
        try:
            stored = json.loads(self._next(request).read_text("utf-8"))
            content = b64decode(stored["base64"]) if "base64" in stored else stored["text"].encode()
            return HttpResponse(request, request.url, stored["status"], stored["headers"], content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"replay: a file in {self._folder} is damaged ({type(error).__name__}); record again, by record = "
                f'"{self._folder}" in place of replay'
            ) from None

    def missing(self, request: HttpRequest) -> ConfigurationError:
        return ConfigurationError(
            f"{self._folder} has no response to {request.method} {self._redact(mask_url(request.url))} with the "
            f'parameters {self._redact(str(dict(request.params)))}; record again, by record = "{self._folder}" in '
            "place of replay"
        )

    def _next(self, request: HttpRequest) -> Path:
        name = sha256(self._redact(request.key().decode()).encode()).hexdigest()[:24]
        with self._lock:
            self._counts[name] += 1
            return self._folder / f"{name}.{self._counts[name]}.json"


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
