"""The verifier under load and in trouble while thousands of answers wait: every answer gets its grade, and there are
never more processes than the workers, the server that forks them and Python's resource tracker."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest
from worker_processes import is_alive, most_processes, wait_until, workers_of

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards import verifier as verifier_module
from prepo_rlhf.rewards import worker as worker_module
from prepo_rlhf.rewards.batches import CHUNK_ANSWERS, Batch, BatchQueue
from prepo_rlhf.rewards.verifier import MathVerifier
from prepo_rlhf.rewards.worker import Worker

NUM_WORKERS = 2
CASES = [(rf"\boxed{{\frac{{{n}}}{{{n + 1}}}}}", f"{2 * n}/{2 * n + 2}") for n in range(1, 2001)]
RESPONSES, GOLDS = map(list, zip(*CASES, strict=True))
Harm = Callable[[Callable[[], set[psutil.Process]], pytest.MonkeyPatch], None]


def kill_together(workers: Callable[[], set[psutil.Process]], _: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        assert wait_until(lambda: len(workers()) == NUM_WORKERS, seconds=60)
        for worker in workers():
            worker.kill()
        time.sleep(0.1)


def kill_the_fork_server(workers: Callable[[], set[psutil.Process]], _: pytest.MonkeyPatch) -> None:
    next(iter(workers())).parent().kill()


def refuse_forks(workers: Callable[[], set[psutil.Process]], monkeypatch: pytest.MonkeyPatch) -> None:
    """For three seconds, in which the workers die."""

    def refuse() -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "fork_server", refuse)
        for worker in workers():
            worker.kill()
        time.sleep(3)


def let_one_hang_that_cannot_be_ended(
    workers: Callable[[], set[psutil.Process]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it waits for a disk: for five seconds no signal ends it."""
    hanging = min(workers(), key=lambda worker: worker.pid)
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "END_SECONDS", 0.5)
        patch.setattr(Worker, "kill", lambda worker: setattr(worker, "_killed", True))
        hanging.suspend()
        time.sleep(5)
        assert is_alive(hanging)


@pytest.mark.parametrize("harm", [kill_together, kill_the_fork_server, refuse_forks, let_one_hang_that_cannot_be_ended])
def test_harm_costs_no_grade_and_starts_no_storm(harm: Harm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "WALL_SECONDS", 2)
    monkeypatch.setattr(worker_module, "WALL_FACTOR", 1)
    before, grades = workers_of(), []
    with most_processes() as most, MathVerifier(MathOptions(num_workers=NUM_WORKERS, timeout=2)) as verifier:
        batch = threading.Thread(target=lambda: grades.extend(verifier.grade(RESPONSES * 8, GOLDS * 8)))
        batch.start()
        assert wait_until(lambda: len(workers_of() - before) == NUM_WORKERS, seconds=60)
        harm(lambda: workers_of() - before, monkeypatch)
        batch.join(timeout=300)
    hung = harm is let_one_hang_that_cannot_be_ended
    assert [grade.status for grade in grades].count("correct") == 8 * len(CASES) - hung
    assert most[0] <= NUM_WORKERS + 2


def test_the_wait_for_a_processor_is_no_timeout() -> None:
    """Workers that get no processor for three seconds, with a time limit of one second."""
    before, grades = workers_of(), []
    with MathVerifier(MathOptions(num_workers=NUM_WORKERS, timeout=1)) as verifier:
        batch = threading.Thread(target=lambda: grades.extend(verifier.grade(RESPONSES[:500], GOLDS[:500])))
        batch.start()
        assert wait_until(lambda: len(workers_of() - before) == NUM_WORKERS, seconds=60)
        workers = workers_of() - before
        for worker in workers:
            worker.suspend()
        time.sleep(3)
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        batch.join(timeout=120)
        assert workers_of() - before == workers
    assert [grade.status for grade in grades] == ["correct"] * 500


def test_no_workers_at_all_are_one_error_for_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[float] = []

    def refuse() -> None:
        starts.append(time.monotonic())
        raise BlockingIOError("Resource temporarily unavailable")

    async def grade() -> list[BaseException]:
        batches = [verifier.grade_async(RESPONSES, GOLDS) for _ in range(5)]
        return await asyncio.gather(*batches, return_exceptions=True)

    monkeypatch.setattr(verifier_module, "PAUSE_SECONDS", 0.05)
    with MathVerifier(MathOptions(num_workers=NUM_WORKERS)) as verifier:
        with monkeypatch.context() as patch:
            patch.setattr(worker_module, "fork_server", refuse)
            errors = asyncio.run(grade())
            time.sleep(2)  # nobody waits any more, so nothing starts
        assert all(isinstance(error, BrokenProcessPool) and "temporarily" in str(error) for error in errors)
        assert len(starts) <= verifier_module.START_ATTEMPTS + NUM_WORKERS
        assert verifier.grade(RESPONSES[:1], GOLDS[:1])[0].correct


def test_one_task_waits_for_thousands_of_answers() -> None:
    async def most_tasks() -> int:
        grading, most = asyncio.create_task(verifier.grade_async(RESPONSES[:500], GOLDS[:500])), 0
        while not grading.done():
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0.05)
        return most

    with MathVerifier(MathOptions(num_workers=NUM_WORKERS)) as verifier:
        assert asyncio.run(most_tasks()) == 2


def test_few_answers_are_with_a_worker_at_a_time_and_batches_take_turns() -> None:
    queue = BatchQueue(num_workers=2)
    large, small = Batch(["1"] * 1000, ["1"] * 1000), Batch(["x" * 10**6] * 2, ["1"] * 2)
    queue.put(large)
    queue.put(small)
    taken = [queue.take() for _ in range(4)]
    assert [batch for batch, _ in taken] == [large, small, large, small]
    assert [len(numbers) for _, numbers in taken] == [CHUNK_ANSWERS, 1, CHUNK_ANSWERS, 1]
    queue.give_back(large, taken[0][1])
    assert queue.take() == (large, taken[0][1])
    large.future.cancel()
    assert queue.take() is None
