"""Finds out that a job hangs: nothing has moved for `--train.hang_timeout` minutes, and a part of it is waited for.

A thread of the driver looks at what the parts tell of their progress. What it ends then is a dead part like any other
to the control loop, which gets an error in the place of the answer. Boundary: time and words; the parts are asked, read
and killed by `ray.parts`.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from ray.exceptions import RayError

from prepo_rlhf.config import Config
from prepo_rlhf.files.outputs import HANG_FOLDER
from prepo_rlhf.ray.stacks import Stack

LONGEST_PAUSE = 10  # seconds between two looks
ROLLOUTS = "scoring and generation"


class WatchedParts(Protocol):
    """What `ray.parts.Parts` is to the watch."""

    ended: dict[str, str]

    def progress(self) -> object:
        """Something that is equal to what it was if nothing has moved."""

    def waited_for(self) -> list[str]:
        """The parts that have a call under way, or do not answer."""

    def stacks(self) -> list[Stack]:
        """Of all processes of the parts."""

    def end(self, names: Sequence[str], why: str) -> None:
        """Kill these parts for this reason."""

    def forget(self) -> None:
        """The watch is over."""


class HangWatch:
    """Watches while it is entered. The driver's own computing is no hang: no part is waited for then.

    Attributes:
        ended: why actors were ended, by their ids.
    """

    def __init__(self, config: Config, parts: WatchedParts) -> None:
        self._phase = ROLLOUTS
        self.ended = parts.ended
        self._parts = parts
        self._minutes, self._run_dir = config.train.hang_timeout, Path(config.logger.run_dir).absolute()
        self._limit = 60 * self._minutes
        self._seen: object = None
        self._since = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="hang_watch")

    def __enter__(self) -> HangWatch:
        if self._limit:
            self._since = time.monotonic()
            self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._limit:
            self._thread.join()  # it may be ending parts
            self._parts.forget()

    @contextmanager
    def during(self, phase: str) -> Generator[None]:
        """What the job is doing inside, for messages; outside of all such contexts rollouts are waited for."""
        self._phase = phase
        try:
            yield
        finally:
            self._phase = ROLLOUTS

    def _watch(self) -> None:
        while not self._over.wait(min(LONGEST_PAUSE, self._limit / 10)):
            try:
                self.look(time.monotonic())
            except RayError:  # Ray is gone, or busy: if it stays so, the control loop gets an error of its own
                continue

    def look(self, now: float) -> None:
        """End the parts that are waited for if nothing has moved for too long; `now` in seconds."""
        if self._moved(now) or now - self._since < self._limit:
            return
        waited_for = self._parts.waited_for()
        if not waited_for or self._moved(now):  # the driver computes; or something has moved meanwhile
            self._since = now
            return
        folder, stacks = self._folder(), self._parts.stacks()
        kept = _keep(stacks, folder)
        told = [
            f"hang: nothing has moved for {self._minutes:g} minutes in {self._phase}",
            f"waited for {', '.join(waited_for)}",
            *(f"{_process(stack)} is stopped" for stack in stacks if stack.state == "stopped"),
            kept,
        ]
        self._parts.end(waited_for, "; ".join(told))
        self._since = time.monotonic()

    def _moved(self, now: float) -> bool:
        before, self._seen = self._seen, self._parts.progress()
        if self._seen == before:
            return False
        self._since = now
        return True

    def _folder(self) -> Path:
        number = 1
        while (folder := self._run_dir / HANG_FOLDER.format(number)).exists():
            number += 1
        return folder


def _keep(stacks: Sequence[Stack], folder: Path) -> str:
    """Write one file a process, and one for the driver; returns where they are, for a message."""
    try:
        folder.mkdir(parents=True)
        with (folder / "driver.txt").open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        for stack in stacks:
            name = stack.part.replace(" ", "-") + (f"-process-{stack.pid}" if stack.title else "")
            (folder / f"{name}.txt").write_text(f"{_process(stack)}: {stack.state}\n{stack.text}", encoding="utf-8")
    except OSError as error:
        return f"the stacks could not be kept in {folder} ({error.strerror})"
    return f"stacks in {folder}"


def _process(stack: Stack) -> str:
    return f"{stack.title} of {stack.part}" if stack.title else stack.part
