"""What does the jobs of a matrix, as the engine sees it: Dask, or what stands for it in a test."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolkit.matrix.jobs import Job
from toolkit.matrix.offers import Offers
from toolkit.matrix.outcome import Outcome

Handle = Hashable  # stands for a job that was given to a pool


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that came to its end: how, or why nobody knows, such as a worker that died."""

    handle: Handle
    outcome: Outcome | None
    why: str = ""


class Pool(Protocol):
    """Gives jobs to workers."""

    def offers(self) -> Mapping[str, Offers]:
        """Return what each worker that is there offers, by its name."""

    def submit(
        self, job: Job, needs: Offers, *, after: Handle | None, on: Collection[str], rank: float
    ) -> Handle:
        """Have a worker do a job, one of those in ``on`` unless it is empty.

        ``after`` is the job that fetched or built what this one needs. Of those that wait for one
        worker, the one with the highest ``rank`` goes first.
        """

    def keeper(self, name: str) -> str:
        """Return the worker that has finished a job of this run, or is at it; "" if none is known.

        Its client died before it heard of that.
        """

    def wait(self, seconds: float) -> Sequence[Finished]:
        """Return the jobs that have ended since this was asked, after so many seconds at most."""

    def running(self) -> Mapping[str, str]:
        """Return the titles of the jobs that workers are at, and the name of each worker."""

    def release(self, handle: Handle) -> None:
        """Let go of a job, and of what it built."""

    def forget(self) -> None:
        """Have the workers remove what they keep of this run: its client has all of it."""

    def stop(self) -> None:
        """End the jobs of this run on all workers, with all of their machines."""
