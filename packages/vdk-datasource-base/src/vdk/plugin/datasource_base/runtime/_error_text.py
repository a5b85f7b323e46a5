"""An error as text, whatever kind of error it is."""

from __future__ import annotations


def message_of(error: BaseException) -> str:
    """Its message. A library's error that fails to make its own must not end the run of the other streams."""
    return str(error) if printable(error) else "its message cannot be had"


def printable(error: BaseException) -> bool:
    """Whether whoever handles it can print it."""
    try:
        str(error)
    except Exception:
        return False
    return True


def told(error: BaseException) -> str:
    """Its type and message."""
    return f"{type(error).__name__}: {message_of(error)}"
