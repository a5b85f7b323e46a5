"""A fresh Python process, for what only shows where nothing is loaded yet."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
from typing import Any

_PREAMBLE = """
import sys, pickle, base64
path, given = pickle.loads(base64.b64decode(sys.stdin.read()))
sys.path[:] = path  # before what is given, which is imported from there
given = pickle.loads(given)
"""
NO_NETWORK = """
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"{event}{arguments!r}: there is no network here")
sys.addaudithook(refuse)
"""


def in_child(code: str, given: Any) -> tuple[int, str]:
    """Run code that finds ``given``; its exit code, and the end of what it wrote, errors included."""
    sent = base64.b64encode(pickle.dumps((sys.path, pickle.dumps(given))))
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + code],
        input=sent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")[-3000:]
