"""A job's cold start: seconds from the command to the end of the first step, and who spends the processor's time.

    python benchmarks/cold_start.py --starts 3 --output cold_start.json

Ray runs before the first start, as after `ray start --head`; the job is the arithmetic example's `mid` with a policy
and an engine on the CPU, and is killed when its first step is on disk. Seconds depend on what else the machine does;
processor seconds, of all threads of a process from its start to that moment, much less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from threading import Thread

import psutil
from training_step.jobs import OURS, ROOT, TASK, Job
from training_step.tables import report

PORT = 6379  # Ray's own
EVERY = 0.1  # seconds between two looks at the processes
MARKS = {  # what the driver says next -> what it has done by then
    "Joining Ray": "options checked",
    "Loading OpenRLHF": "engine asked for",
    "Checking data": "OpenRLHF loaded",
    "Loading vLLM": "data and model checked",
    "Loading the models": "trainer imported, policy asked for",
}
PROCESSES = {  # how the title of a process begins -> what it is called here
    "ray::PolicyActor": "policy", "ray::RolloutEngine": "engine", "VLLM": "vLLM's core", "ray::": "other workers",
}  # fmt: skip
NAMES = ("driver", *PROCESSES.values(), "Ray itself")


class Clock:
    """The processor seconds of all processes that a job needs, by what they are; a dead one keeps its last count."""

    def __init__(self, head: psutil.Process) -> None:
        self._head = head
        self._before = {process.pid: _spent(process) for process in head.children(recursive=True)}
        self._spent: dict[int, tuple[str, float]] = {}

    def look(self, driver: psutil.Process) -> None:
        for process in (driver, *driver.children(recursive=True), *self._head.children(recursive=True)):
            try:
                spent = _spent(process) - self._before.get(process.pid, 0.0)
                self._spent[process.pid] = (self._name(process, driver), spent)
            except psutil.NoSuchProcess:
                continue

    def by_name(self) -> dict[str, float]:
        return {kind: sum(spent for name, spent in self._spent.values() if name == kind) for kind in NAMES}

    @staticmethod
    def _name(process: psutil.Process, driver: psutil.Process) -> str:
        if process == driver or driver in process.parents():
            return "driver"
        title = " ".join(process.cmdline()[:1])
        return next((name for beginning, name in PROCESSES.items() if title.startswith(beginning)), "Ray itself")


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def ray_head() -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of a Ray with logical GPUs."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        line = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
        line += [f"--port={PORT}", "--num-cpus=4", "--num-gpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
        line += ["--node-ip-address=127.0.0.1", f"--object-store-memory={512 * 2**20}"]
        head = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            if not any("Ray runtime started" in line for line in head.stdout or ()):
                sys.exit("Ray could not be started")
            time.sleep(10)  # its idle workers start
            yield f"127.0.0.1:{PORT}", psutil.Process(head.pid)
        finally:
            head.terminate()
            head.wait()


def cold_start(address: str, head: psutil.Process, data: Path) -> dict[str, float]:
    """Seconds to each mark, and processor seconds of each kind of process."""
    job = Job(OURS, steps=2, prompts=8, max_new_tokens=16)
    clock, marks, said = Clock(head), {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"RAY_ADDRESS": address}
        begin = time.monotonic()
        driver = psutil.Popen(
            job.command(data, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env=environment,
        )  # fmt: skip

        def listen() -> None:
            for line in driver.stdout:
                said.append(line)
                for beginning, mark in MARKS.items():
                    if line.startswith(beginning):
                        marks.setdefault(mark, time.monotonic() - begin)

        listener = Thread(target=listen)
        listener.start()
        try:
            while not _first_step_ended(folder / "metrics.jsonl"):
                if driver.poll() is not None:
                    sys.exit(f"the job ended before its first step:\n{''.join(said)}")
                clock.look(driver)
                time.sleep(EVERY)
            marks["first step ended"] = time.monotonic() - begin
            clock.look(driver)
        finally:
            with suppress(psutil.NoSuchProcess):
                driver.kill()
            driver.wait()
            listener.join()
    spent = clock.by_name()
    _wait_for_quiet(head)
    return marks | {f"{name}, processor": seconds for name, seconds in spent.items()} | {
        "all, processor": sum(spent.values())
    }  # fmt: skip


def _first_step_ended(file: Path) -> bool:
    lines = file.read_text().splitlines() if file.is_file() else []
    return any(json.loads(line)["step"] == 1 for line in lines if line.endswith("}"))


def _wait_for_quiet(head: psutil.Process) -> None:
    """Until the job's actors are gone, and Ray is idle."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        titles = []
        for process in head.children(recursive=True):
            try:
                titles.append(" ".join(process.cmdline()[:1]))
            except psutil.NoSuchProcess:
                continue
        if not any(title.startswith(("ray::Policy", "ray::Rollout", "VLLM")) for title in titles):
            break
        time.sleep(0.5)
    time.sleep(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    with tempfile.TemporaryDirectory() as data, ray_head() as (address, head):
        line = [sys.executable, str(TASK / "make_data.py"), "--output_dir", data]
        subprocess.run([*line, "--train_size", "80", "--heldout_size", "1"], check=True)
        starts = [cold_start(address, head, Path(data)) for _ in range(args.starts)]
    columns = {f"start {number}": row for number, row in enumerate(starts, 1)}
    report("seconds", columns | {"median": {name: median(row[name] for row in starts) for name in starts[0]}}, args)


if __name__ == "__main__":
    main()
