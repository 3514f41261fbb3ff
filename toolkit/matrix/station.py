"""A worker's place on its host: does one job at a time, each as a child process.

Several stations of one host have a share of its CPUs each. How a job ended is stored here before it
is told, so what was finished for a client that died is not done again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_KERNEL,
    EXIT_OK,
    EXIT_USER,
    InfrastructureError,
    ToolkitError,
)
from toolkit.core.text import printable
from toolkit.host import process
from toolkit.host.process import Child, Grace
from toolkit.matrix import inputs, jobs, outcome, parcel, standby, worker_store
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.outcome import Outcome
from toolkit.matrix.parcel import Parcel, Source
from toolkit.matrix.standby import Standby
from toolkit.workflow import saved_build

TOOLKIT = (sys.executable, "-m", "toolkit")
_GRACE = Grace(terminate=30.0)  # for a command to stop its machines and write its reports
_LONGER = 120.0  # seconds that a job may take beyond the deadline that it has itself
_INPUTS_SECONDS = 60.0  # a client looks for new workers every few seconds
_POLL = 0.1
_MAX_LOG = 1 << 14  # bytes at the end of a job's output in which its error is looked for
_LINES = 12  # of it where there is none
_ERROR = "toolkit: "  # before the error that the command line prints
_CODES = (EXIT_OK, EXIT_KERNEL, EXIT_USER, EXIT_INFRASTRUCTURE)
# What the client's or the worker's surroundings would have a command do besides.
_ENVIRONMENT = {"GITHUB_STEP_SUMMARY": None, "TOOLKIT_ROOT": None}
_unpacking = threading.Lock()
_PLACE = re.compile("|".join(map(re.escape, (inputs.PLACE, jobs.FOLDER, jobs.BUNDLE))))


class StoppedError(Exception):
    """A job was stopped because its client asked for it; it says nothing."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a job ended, and the build that it made, if any."""

    outcome: Outcome
    parcel: Parcel | Source | None = None


@dataclass(slots=True)
class Station:
    """Does jobs on the CPUs ``cpus`` of this host; all of them where it is empty.

    ``name`` is what others are told of it, ``command`` the toolkit.
    """

    name: str
    cpus: tuple[int, ...] = ()
    command: tuple[str, ...] = TOOLKIT
    doing: Job | None = None  # what it is at
    _archives: dict[str, bytes] = field(default_factory=dict)  # inputs, until they are unpacked
    _stopped: set[str] = field(default_factory=set)  # clients
    _closed: bool = False
    _next: Standby | None = None  # the next job's command, which is starting

    def take_inputs(self, run: str, archive: bytes) -> list[str]:
        """Take what the jobs of a run need; return those that are finished here, or being done."""
        self._archives[run] = archive
        now = self.doing
        return [*worker_store.finished(run), *([now.name] if now and now.run == run else [])]

    def stop(self, client: str) -> None:
        """Let a client's job end soon, with all of its machines, and take no other one of it.

        The next client may go on with the same run, here as well.
        """
        self._stopped.add(client)

    def close(self) -> None:
        """Let its job end soon, and take no other one of any run."""
        self._closed = True
        ready, self._next = self._next, None
        if ready:
            ready.end()

    def perform(self, job: Job, client: str, earlier: Parcel | Source | None = None) -> Done:
        """Do a job for a client, with the build that it tests, and return how it ended.

        Raises :class:`StoppedError` where its client was stopped.
        """
        stored = worker_store.recall(job.run, job.name)
        if stored and job.kind in (Kind.TEST, Kind.WHOLE):  # of the others more is wanted
            return Done(stored)
        # Another station of this host may be at the same job still, for a client that died.
        folder = worker_store.of_run(job.run) / "work" / f"{job.name}.{uuid.uuid4().hex[:8]}"
        self.doing = job
        try:
            folder.mkdir(parents=True)
            places = {inputs.PLACE: self._inputs(job.run, client), jobs.FOLDER: folder}
            if isinstance(earlier, Parcel):
                places[jobs.BUNDLE] = earlier.path
            done = self._done(job, client, folder, places)
        except OSError as error:
            return Done(self._failed(job, f"{error.strerror or error}: {error.filename or folder}"))
        except ToolkitError as error:
            return Done(self._failed(job, f"{error.what}\n{error.hint}".strip()))
        finally:
            self.doing = None
            shutil.rmtree(folder, ignore_errors=True)
        if done.outcome.exit_code != EXIT_INFRASTRUCTURE:
            with contextlib.suppress(OSError):  # a verdict is none the worse for it
                worker_store.keep(job.run, done.outcome)
        return done

    def _failed(self, job: Job, why: str) -> Outcome:
        return Outcome(job.name, EXIT_INFRASTRUCTURE, 0.0, self.name, why)

    def _done(self, job: Job, client: str, folder: Path, places: Mapping[str, Path]) -> Done:
        words = [_PLACE.sub(lambda match: str(places[match[0]]), word) for word in job.words]
        began = time.monotonic()
        log = folder / "output.log"
        limit = Deadline.after(job.seconds + _LONGER)
        status = self._run(client, words, log, limit)
        seconds = round(time.monotonic() - began, 3)
        if status == EXIT_INTERRUPTED and self._is_stopped(client):
            raise StoppedError(job.name)
        code = status if status in _CODES else EXIT_INFRASTRUCTURE
        message = "" if code == EXIT_OK else _last_words(log)
        if status not in _CODES:
            ended = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            message = f"the toolkit {ended}\n{message}"
        archive = outcome.pack(folder / jobs.RUN)
        told = Outcome(job.name, code, seconds, self.name, message.strip(), archive)
        if job.kind is Kind.BUILD and code == EXIT_OK:
            return self._with_build(job, told, folder)
        if job.kind is Kind.FETCH and code == EXIT_OK:
            worker_store.remember_kernel(job.words[-1])
            return Done(told, Source())
        return Done(told)

    def _with_build(self, job: Job, told: Outcome, folder: Path) -> Done:
        place = worker_store.of_run(job.run) / "builds" / folder.name
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / jobs.SAVED).rename(place)
        bundle = saved_build.load(place)
        suites = tuple(
            (built.name, tuple(program.name for program in built.programs))
            for built in bundle.suites
        )
        full = replace(told, suites=suites, memory_mib=bundle.image.memory_mib)
        return Done(full, Parcel(job.run, place))

    def _run(self, client: str, words: Sequence[str], log: Path, deadline: Deadline) -> int:
        """Run a command to its end, or stop it; return its exit status."""
        if self._is_stopped(client):
            raise StoppedError(client)
        child = self._start(words, log)
        try:
            while not process.wait(child, _POLL):
                if self._is_stopped(client):
                    process.stop(child, _GRACE)
                    raise StoppedError(client)
                if deadline.expired():
                    process.stop(child, _GRACE)
                    raise InfrastructureError(f"it did not end within {deadline.budget:.0f} s")
        finally:
            status = process.stop(child, _GRACE)
        return status

    def _start(self, words: Sequence[str], log: Path) -> Child:
        """Start the toolkit with ``words``, or take the one that is waiting for them."""
        within: list[str] = []
        if self.cpus and set(self.cpus) != os.sched_getaffinity(0):
            within = ["taskset", "--cpu-list", ",".join(map(str, self.cpus))]
        env = {**_ENVIRONMENT, "XDG_STATE_HOME": str(worker_store.root() / "state")}
        ready, self._next = self._next, None
        child = ready.become(words, log) if ready else None
        if child is None:
            argv = [*within, *self.command, *words]
            with log.open("wb") as out:
                child = process.start(argv, cwd=log.parent, env=env, stdout=out, stderr=out)
        if self.command == TOOLKIT and not self._closed:
            self._next = standby.start(within, worker_store.root(), env)
        return child

    def _is_stopped(self, client: str) -> bool:
        return self._closed or client in self._stopped

    def _inputs(self, run: str, client: str) -> Path:
        """Return the folder with the run's inputs, which the first job on a host unpacks."""
        place = worker_store.of_run(run) / "inputs"
        limit = Deadline.after(_INPUTS_SECONDS)
        while not place.is_dir() and run not in self._archives:
            if self._is_stopped(client):
                raise StoppedError(client)
            if limit.expired():
                raise InfrastructureError(f"no inputs came within {limit.budget:.0f} s")
            time.sleep(_POLL)
        with _unpacking:
            archive = self._archives.pop(run, b"")
            if not place.is_dir():
                fresh = place.with_name(f"inputs.{uuid.uuid4().hex}")
                parcel.unpack(archive, fresh)
                with contextlib.suppress(OSError):  # another worker of this host was quicker
                    fresh.rename(place)
                shutil.rmtree(fresh, ignore_errors=True)
        return place


def _last_words(log: Path) -> str:
    """Return what a command said last: its error, or else its last lines, fit for a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MAX_LOG))
        lines = file.read().decode(errors="replace").split("\n")
    lines = [printable(line) for line in lines if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if errors:
        return "\n".join(lines[errors[-1] :]).removeprefix(_ERROR)
    return "\n".join(lines[-_LINES:])
