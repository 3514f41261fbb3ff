"""A machine that waits between the runs of `toolkit watch`: restored, logged in, and paused.

After an edit of a module, a run first needs a machine without modules to load them into. Restoring
one and logging in is half of what such a run does besides compiling, so it is done while nobody
waits for it. A paused machine takes no processor time, and in its guest no time goes by; the code
that QEMU has translated for it stays.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.background import Background
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolkitError
from toolkit.vm.factory import BootedGuest, MachineFactory
from toolkit.vm.snapshot import Snapshot

_MAKE_SECONDS = 60.0
_KEPT_SECONDS = 900.0  # whoever has not edited for so long gets the memory back
_ANSWER_SECONDS = 5.0
_COMMAND = "true"  # has the guest's shell translated, and shows later that it still answers
_NOW = Deadline.after(0.0)  # for what is there already

FindSaved = Callable[[], Snapshot | None]


@dataclass(slots=True)
class _Evidence:
    """What a machine leaves in ``folder``, its console above all, and where that is copied to."""

    folder: Path
    target: Path | None = None

    def hand_over(self) -> None:
        if self.target:
            shutil.copytree(self.folder, self.target, dirs_exist_ok=True)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A machine that waits; closing ``stack`` ends it."""

    stack: contextlib.ExitStack
    guest: BootedGuest
    evidence: _Evidence

    def wake(self, deadline: Deadline) -> bool:
        """Have the machine go on; return whether it is as it was and its guest answers."""
        try:
            self.guest.machine.resume()
            self.guest.session.set_clock()
            self.guest.session.check(_COMMAND, deadline=deadline.sooner(_ANSWER_SECONDS))
        except ToolkitError:
            deadline.check("waking a machine")
            return False
        return not self.guest.machine.splats()


@dataclass(frozen=True, slots=True)
class _Making:
    """A machine that is being made, or is there; ``key`` is what it was booted from.

    What is made is None where that failed: the next run makes its own, and says what is wrong.
    """

    key: str
    made: Background[_Kept | None]

    def failed(self) -> bool:
        return self.made.done() and not self.made.result(_NOW)

    def drop(self) -> None:
        self.made.end()
        if kept := self.made.result(_NOW):
            kept.stack.close()


class Standby:
    """Keeps one machine for the next run; a context manager that ends it.

    Used by one thread at a time. A machine is made in a thread of its own, which ends when it is
    there.
    """

    def __init__(self, kept_seconds: float = _KEPT_SECONDS) -> None:
        """A machine that nobody takes for so many seconds is ended."""
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._making: _Making | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Standby:
        return self

    def __exit__(self, *_: object) -> None:
        if making := self._detach():
            making.drop()

    def restock(self, factory: MachineFactory, find: FindSaved) -> None:
        """Begin to restore the machine that ``find`` returns, unless one like it waits already."""
        key = factory.cache_keys()[0]
        waiting = self._detach()
        if waiting and (waiting.key != key or waiting.failed()):
            waiting.drop()
            waiting = None
        making = waiting or _Making(key, _begin(factory, find))
        with self._lock:
            self._making = making
            self._timer = threading.Timer(self._kept_seconds, self._expire, [making])
            self._timer.daemon = True
            self._timer.start()

    def take(
        self, key: str, evidence: Path, deadline: Deadline
    ) -> tuple[contextlib.ExitStack, BootedGuest] | None:
        """Return the machine that was booted as ``key`` says, if it waits and still answers.

        Closing the stack ends it, and leaves its console in the folder ``evidence``. Any other
        machine is ended.
        """
        making = self._detach()
        if making is None:
            return None
        with contextlib.ExitStack() as stack:
            stack.callback(making.drop)
            kept = making.made.result(deadline) if making.key == key else None
            if kept is None or not kept.wake(deadline):
                return None
            stack.pop_all()
        kept.evidence.target = evidence
        return kept.stack, kept.guest

    def _detach(self) -> _Making | None:
        with self._lock:
            making, self._making = self._making, None
            if self._timer:
                self._timer.cancel()
            return making

    def _expire(self, making: _Making) -> None:
        with self._lock:
            if self._making is not making:
                return
            self._making = None
        making.drop()


def _begin(factory: MachineFactory, find: FindSaved) -> Background[_Kept | None]:
    def work(deadline: Deadline) -> _Kept | None:
        try:
            return _make(factory, find, deadline)
        except (ToolkitError, OSError):
            return None

    limit = Deadline.after(_MAKE_SECONDS)
    return Background("standby", work, limit, what="waiting for a machine")


def _make(factory: MachineFactory, find: FindSaved, deadline: Deadline) -> _Kept | None:
    saved = find()
    if saved is None:
        return None
    with contextlib.ExitStack() as stack:
        evidence = _Evidence(Path(tempfile.mkdtemp(prefix="toolkit-standby-")))
        stack.callback(shutil.rmtree, evidence.folder, ignore_errors=True)
        stack.callback(evidence.hand_over)
        guest = stack.enter_context(factory.restored(evidence.folder, saved, deadline))
        guest.session.check(_COMMAND, deadline=deadline)
        guest.machine.pause()
        return _Kept(stack.pop_all(), guest, evidence)
