"""Worker processes that are killed are replaced without loss, and none survives the process that owns them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_tasks import ROOT
from worker_processes import is_alive, wait_until, workers_of

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards import verifier as verifier_module
from prepo_rlhf.rewards import worker as worker_module
from prepo_rlhf.rewards.grading import Grade
from prepo_rlhf.rewards.verifier import MathVerifier

FRACTIONS = [(rf"\boxed{{\frac{{{n}}}{{{n + 1}}}}}", f"{2 * n}/{2 * n + 2}") for n in range(1, 801)]
KILLER = r"\boxed{9^{9^{9^9}}}"
OWNER = """
import signal
from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.verifier import MathVerifier

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore Ctrl-C
    MathVerifier(MathOptions(timeout=600)).grade([r"{killer}"] * 3, ["1"] * 3)
"""


@pytest.fixture
def verifier() -> Iterator[MathVerifier]:
    before = workers_of()
    with MathVerifier() as verifier:
        while len(workers_of() - before) < 2:
            verifier.grade(["1"] * 20, ["1"] * 20)
        yield verifier


@pytest.fixture
def workers(verifier: MathVerifier) -> list[psutil.Process]:
    """The two workers of `verifier`, the newest there are."""
    return sorted(workers_of(), key=lambda worker: worker.pid)[-2:]


class Batch(threading.Thread):
    """A batch that is graded beside the test."""

    def __init__(self, verifier: MathVerifier, cases: list[tuple[str, str]]) -> None:
        super().__init__()
        self._verifier, self._cases = verifier, cases
        self.grades: list[Grade] = []
        self.start()

    def run(self) -> None:
        responses, golds = map(list, zip(*self._cases, strict=True))
        self.grades = self._verifier.grade(responses, golds)

    def statuses(self) -> list[str]:
        self.join(timeout=120)
        return [grade.status for grade in self.grades]


@pytest.mark.parametrize("count", [1, 2])
def test_idle_workers_may_die(verifier: MathVerifier, workers: list[psutil.Process], count: int) -> None:
    for worker in workers[:count]:
        worker.kill()
    assert Batch(verifier, FRACTIONS).statuses() == ["correct"] * 800
    assert not any(map(is_alive, workers[:count]))
    assert Batch(verifier, FRACTIONS[:50]).statuses() == ["correct"] * 50


@pytest.mark.parametrize("count", [1, 2])
def test_busy_workers_may_die(verifier: MathVerifier, workers: list[psutil.Process], count: int) -> None:
    batch = Batch(verifier, FRACTIONS * 8)
    time.sleep(0.3)
    assert batch.is_alive()
    for worker in workers[:count]:
        worker.kill()
    assert batch.statuses() == ["correct"] * 6400
    assert Batch(verifier, FRACTIONS[:50]).statuses() == ["correct"] * 50


def test_the_server_that_forks_workers_may_die(verifier: MathVerifier, workers: list[psutil.Process]) -> None:
    server = workers[0].parent()
    server.kill()
    assert wait_until(lambda: not is_alive(server), seconds=10)
    assert Batch(verifier, FRACTIONS).statuses() == ["correct"] * 800


def test_workers_that_cannot_start_are_an_error_and_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "serve", die)
    monkeypatch.setattr(verifier_module, "PAUSE_SECONDS", 0.1)
    with MathVerifier(MathOptions(timeout=1)) as verifier, pytest.raises(BrokenProcessPool):
        verifier.grade(["#### 18"], ["18"])


def die(*arguments: Any) -> None:
    """What a worker does, but ends it."""
    os._exit(1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_survives_its_owner(number: signal.Signals) -> None:
    code = OWNER.replace("{killer}", KILLER)
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: sum(worker.cpu_times().user > 1 for worker in workers_of(owner.pid)) == 2, seconds=60)
    processes = psutil.Process(owner.pid).children(recursive=True)
    os.kill(owner.pid, number)
    owner.wait(timeout=10)
    assert len(processes) >= 3
    # The fork server ends before them, which takes it a while where others compute too.
    assert psutil.wait_procs(processes, timeout=60)[1] == []


PROGRAMS = {
    "script without a guard": "print(grade_math(['#### 18'], ['18'])[0].status)",
    "notebook's cell": """
import asyncio

async def cell():
    print(grade_math(['#### 18'], ['18'])[0].status)

asyncio.run(cell())""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor

print(*{grade.status for grades in ThreadPoolExecutor().map(grade_math, [["#### 18"]] * 5, [["18"]] * 5)
        for grade in grades})""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_closes_nothing_runs_once_and_ends(program: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"from prepo_rlhf.rewards.math_reward import grade_math\nprint('begin')\n{PROGRAMS[program]}")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begin\ncorrect\n", "")
