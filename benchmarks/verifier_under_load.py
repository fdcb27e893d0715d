"""The math verifier in one large call on a machine that is busy with other work, with and without workers killed.

    python benchmarks/verifier_under_load.py --count 30000 --output under_load.json

Prints a row for each call. Beside it run `--busy` processes that do nothing but compute, 10 for each core unless told
otherwise, at the same priority. A row says, beside the seconds and the load average:

- right: share of the answers with the grade they deserve;
- most_processes: the verifier's own (workers, fork server, resource tracker), looked for all the time;
- of_fair_share: answers a second over the fair rate. A busy process takes whatever a fair scheduler gives to a process,
  so the fair rate is `workers x processor seconds of a busy process a second x answers a processor second`; the last
  factor is measured before, without the busy processes, from the workers' own processor time. It holds whatever else
  the machine does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.verifier import MathVerifier

Answers = tuple[list[str], list[str], list[bool]]  # responses, golds, whether they are equal


def make_answers(count: int) -> Answers:
    """Every fourth a fraction that has to be computed, the others integers; every second one is right."""
    responses, golds, right = [], [], []
    for n in range(1, count + 1):
        right.append(n % 8 < 4)
        responses.append(rf"It is $\boxed{{\frac{{{n}}}{{{n + 1}}}}}$." if n % 4 == 0 else rf"It is \boxed{{{n}}}.")
        golds.append(f"{2 * n}/{2 * n + (2 if right[-1] else 3)}" if n % 4 == 0 else str(n if right[-1] else n + 1))
    return responses, golds, right


def processor_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def workers() -> list[psutil.Process]:
    return [worker for server in psutil.Process().children() for worker in server.children()]


@contextmanager
def busy_processes(count: int) -> Iterator[list[psutil.Process]]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield [psutil.Process(process.pid) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Watch(threading.Thread):
    """Counts the verifier's processes and, every `kill_every` seconds, kills one of its workers or all of them."""

    def __init__(self, others: list[psutil.Process], kill_every: float) -> None:
        super().__init__()
        self._others, self._kill_every = set(others), kill_every
        self.most, self.kills, self.done = 0, 0, threading.Event()
        self.start()

    def run(self) -> None:
        turns, last = itertools.cycle([1, None]), time.monotonic()
        while not self.done.wait(0.1):
            self.most = max(self.most, len(set(psutil.Process().children(recursive=True)) - self._others))
            if self._kill_every and time.monotonic() - last > self._kill_every:
                last = time.monotonic()
                for worker in random.sample(found := workers(), len(found))[: next(turns)]:
                    worker.kill()
                    self.kills += 1


def grade(verifier: MathVerifier, answers: Answers, busy: list[psutil.Process], kill_every: float) -> dict[str, float]:
    """One call's row, without the share, and with the processor seconds that its busy processes took."""
    responses, golds, right = answers
    watch, before, start = Watch(busy, kill_every), processor_seconds(busy), time.perf_counter()
    grades = verifier.grade(responses, golds)
    seconds, taken = time.perf_counter() - start, processor_seconds(busy) - before
    watch.done.set()
    watch.join()
    agree = sum(
        grade.status == ("correct" if deserved else "wrong") for grade, deserved in zip(grades, right, strict=True)
    )
    row = {"answers": len(grades), "busy": len(busy), "kills": watch.kills, "right": agree / len(grades)}
    row |= {"most_processes": watch.most, "seconds": seconds, "per_second": len(grades) / seconds}
    return row | {"busy_processor_seconds": taken, "load": os.getloadavg()[0]}


def measure(count: int, busy: int, num_workers: int, kill_every: float) -> Iterator[dict[str, float]]:
    """Rows: not busy, busy, busy and killed."""
    with MathVerifier(MathOptions(num_workers=num_workers)) as verifier:
        while len(workers()) < num_workers:
            verifier.grade(*make_answers(200)[:2])
        graders = workers()
        before = processor_seconds(graders)
        row = grade(verifier, make_answers(min(count, 5000)), [], 0)
        per_processor_second = row["answers"] / (processor_seconds(graders) - before)
        yield row
        with busy_processes(busy) as processes:
            for every in (0, kill_every):
                row = grade(verifier, make_answers(count), processes, every)
                fair = num_workers * row["busy_processor_seconds"] / busy * per_processor_second
                yield row | {"of_fair_share": row["answers"] / fair}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--busy", type=int, default=10 * (os.cpu_count() or 1))
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--kill_every", type=float, default=10, help="seconds")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for row in measure(arguments.count, arguments.busy, arguments.num_workers, arguments.kill_every):
        rows.append(row)
        print({name: float(f"{value:.4g}") for name, value in row.items()}, flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
