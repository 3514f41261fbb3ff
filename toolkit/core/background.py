"""One piece of work in a thread of its own, whose end somebody waits for."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from toolkit.core.deadline import Deadline

_POLL = 0.1

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A thread that calls ``work`` with a deadline, which :meth:`end` brings forward."""

    def __init__(
        self, name: str, work: Callable[[Deadline], Result], deadline: Deadline, *, what: str
    ) -> None:
        """Begin; ``name`` is the thread's, and ``what`` says for what others wait."""
        self._what = what
        self._deadline = deadline.cancellable()
        self._future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def _run(self, work: Callable[[Deadline], Result]) -> None:
        try:
            self._future.set_result(work(self._deadline))
        except BaseException as error:  # noqa: BLE001 - raised again in result()
            self._future.set_exception(error)

    def done(self) -> bool:
        """Return whether the work is over, be it with an error."""
        return self._future.done()

    def result(self, deadline: Deadline) -> Result:
        """Wait for what the work returns; raise what it raises, or :class:`DeadlineError`."""
        while not self._future.done():
            deadline.check(self._what)
            concurrent.futures.wait([self._future], timeout=_POLL)
        return self._future.result()

    def end(self) -> None:
        """Have the work stop as soon as possible, and wait for that."""
        self._deadline.cancel()
        concurrent.futures.wait([self._future])
