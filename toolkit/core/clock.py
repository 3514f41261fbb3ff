"""The toolkit's own time, which stands still while nothing ran.

A virtual machine that is paused or moved, a host that runs out of memory: the toolkit and its
guests get no CPU for minutes, and CLOCK_MONOTONIC goes on. Nothing that was waited for could come
meanwhile, so no deadline counts such time.
"""

from __future__ import annotations

import threading
import time

# Seconds between two looks of one loop, all of which look many times a second, from which on the
# toolkit did not run. What is shorter may be a loop with a lot to do, and a guest could ask for it.
FROZEN = 10.0


class Clock:
    """CLOCK_MONOTONIC without the time in which the toolkit did not run.

    It cannot notice that by itself: loops that wait call :meth:`tick`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticked = 0.0
        self._frozen = 0.0

    def now(self) -> float:
        """Return the time in seconds, from any beginning."""
        return time.monotonic() - self._frozen

    def frozen(self) -> float:
        """Return for how many seconds the toolkit did not run, as far as a loop has noticed."""
        return self._frozen

    def tick(self, since: float) -> float:
        """Note that a loop goes on, which did so last ``since``; return CLOCK_MONOTONIC.

        Another loop that ticked meanwhile shows that the toolkit ran.
        """
        with self._lock:
            now = time.monotonic()
            gap = now - max(since, self._ticked)
            self._ticked = now
            if gap > FROZEN:
                self._frozen += gap
            return now


clock = Clock()
