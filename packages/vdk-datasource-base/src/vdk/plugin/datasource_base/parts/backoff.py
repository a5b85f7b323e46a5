# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    A random wait between zero and a bound that doubles spreads clients out best (M. Brooker, "Exponential backoff and
    jitter", AWS Architecture Blog, 2015).

    :param delay: seconds, the bound of the first wait. :param longest: seconds, the highest bound.
    """

    delay: float
    longest: float = 60.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return random.uniform(0, min(self.longest, self.delay * 2 ** min(failures - 1, 30)))
