"""Calls to engines that die: which are made again, of whom, and when a death is the caller's.

The engines are plain Ray actors here; vLLM's die in test_broken_job.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError, RayError

from prepo_rlhf.ray.engine_calls import Ask, EngineCalls


class Engine:
    """Answers with its own number and notes who asked; dies, or waits, when told to."""

    def __init__(self, number: int, notes: str) -> None:
        self._number, self._notes = number, Path(notes)

    def check_alive(self) -> None:
        """As the real one."""

    def answer(self, asked: str) -> tuple[int, str]:
        with self._notes.open("a") as notes:
            notes.write(f"{self._number} {asked}\n")
        if asked == "mistake":
            raise ValueError("a reward of the user's")
        if asked == "last words" and self._number == 0:
            time.sleep(0.3)  # so that its answers before are on their way
            os.kill(os.getpid(), signal.SIGKILL)
        return self._number, asked


class Engines:
    """Two engines, and the calls to them; the successor of one has the number 10 or 11."""

    def __init__(self, notes: Path, same_batches: bool) -> None:
        self._notes = notes
        self.deaths: list[tuple[int, int]] = []
        self._engines = [self._start(0), self._start(1)]
        self.calls = EngineCalls(self._engines, same_batches)
        self.calls.replace_dead_engines(self.succeed)

    def succeed(self, number: int, error: RayError, rollouts: int) -> None:
        assert isinstance(error, RayActorError)
        self.deaths.append((number, rollouts))
        assert len(self.deaths) == 1, error
        self._engines[number] = self._start(number + 10)

    def asked(self) -> list[str]:
        """What each engine has been asked, once all of it has been answered."""
        return sorted(self._notes.read_text().splitlines())

    def _start(self, number: int) -> Any:
        return ray.remote(num_cpus=0)(Engine).remote(number, str(self._notes))


@pytest.fixture(scope="module", autouse=True)
def joined(ray_head: str) -> Iterator[None]:
    ray.init(address=ray_head, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import it
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    ray.shutdown()


def asks(engine: int, *texts: str) -> list[Ask]:
    return [Ask(engine, "answer", (text,), rollouts=4) for text in texts]


@pytest.mark.parametrize(
    ("same_batches", "again", "rollouts"),
    [(False, ["10 after", "10 last words"], 8), (True, ["10 after", "10 before", "10 last words"], 12)],
)
def test_what_is_lost_is_made_again(same_batches: bool, again: list[str], rollouts: int, tmp_path: Path) -> None:
    """Of an engine that answers in turn: what it had answered stays, and with `same_batches` shares the batch again."""
    engines = Engines(tmp_path / "notes", same_batches)
    earlier = engines.calls.start(asks(0, "earlier"))
    assert engines.calls.receive(earlier[0]) == (0, "earlier")
    calls = engines.calls.start([*asks(0, "before", "last words", "after"), *asks(1, "other")])
    answers = [engines.calls.receive(call) for call in calls]
    assert answers == [(0, "before"), (10, "last words"), (10, "after"), (1, "other")]
    assert engines.deaths == [(0, rollouts)]
    engines.calls.replace_dead()  # whoever is asked in turn has answered what came before
    assert engines.asked() == sorted(["0 earlier", "0 before", "0 last words", "1 other", *again])


def test_a_mistake_is_the_callers(tmp_path: Path) -> None:
    engines = Engines(tmp_path / "notes", same_batches=False)
    [mistake] = engines.calls.start(asks(1, "mistake"))
    with pytest.raises(ValueError, match="a reward of the user's"):
        engines.calls.receive(mistake)
    assert not engines.deaths


def test_without_a_successor_a_death_is_the_callers(tmp_path: Path) -> None:
    engines = Engines(tmp_path / "notes", same_batches=False)
    engines.calls.replace_dead_engines(None)
    [call] = engines.calls.start(asks(0, "last words"))
    with pytest.raises(RayActorError):
        engines.calls.receive(call)


def test_two_threads_wait_for_one_engine(tmp_path: Path) -> None:
    """It is replaced once, for both."""
    engines = Engines(tmp_path / "notes", same_batches=False)
    calls = [*engines.calls.start(asks(0, "last words")), *engines.calls.start(asks(0, "other thread's"))]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(engines.calls.receive, calls))
    assert answers == [(10, "last words"), (10, "other thread's")]
    assert engines.deaths == [(0, 8)]


def test_an_idle_engine_that_has_died_is_found(tmp_path: Path) -> None:
    engines = Engines(tmp_path / "notes", same_batches=False)
    with pytest.raises(RayActorError):
        ray.get(engines.calls._send(asks(0, "last words")[0]))
    time.sleep(0.1)
    engines.calls.replace_dead()
    assert engines.deaths == [(0, 0)]
    assert engines.calls.receive(engines.calls.start(asks(0, "then"))[0]) == (10, "then")
