"""What the system does with a signal, below what Python's ``signal`` module can set."""

from __future__ import annotations

import ctypes
import platform
import sys
from ctypes import byref, c_char, c_int, c_uint, c_void_p

SA_RESETHAND = 0x80000000  # <bits/sigaction.h>


class _SigAction(ctypes.Structure):
    """``struct sigaction`` of glibc and musl on the machines below (others order its members differently)."""

    _fields_ = (("handler", c_void_p), ("mask", c_char * 128), ("flags", c_uint), ("restorer", c_void_p))


def reset_on_delivery(number: int) -> bool:
    """Let the system restore the default action of a signal once it has delivered it to its present handler.

    Python runs handlers in the main thread, between two steps of the interpreter. While a library holds the
    interpreter's lock none runs, and no number of signals would end the process. With this flag (POSIX, sigaction) the
    second one ends it. False: it cannot be set here, and Python's handler has to restore the action itself.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    try:
        sigaction = ctypes.CDLL(None).sigaction
    except (OSError, AttributeError):
        return False
    sigaction.argtypes, sigaction.restype = (c_int, c_void_p, c_void_p), c_int
    action = _SigAction()
    if sigaction(number, None, byref(action)):
        return False
    action.flags |= SA_RESETHAND
    return not sigaction(number, byref(action), None)
