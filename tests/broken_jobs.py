"""Training jobs that are broken on purpose while they run, taken up again, and compared with an unbroken one."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from running_jobs import RunningJob, running_job
from tiny_tasks import job_options, read_metrics, without_timings

MakeOptions = Callable[..., list[str]]
"""Options of a job in a folder, with changes."""


class Fault:
    """Something that happens to a running job. `told` is what the job must say then, if it lives to say anything."""

    told = ""
    code: int | None = 1

    def strike(self, job: RunningJob) -> None:
        raise NotImplementedError

    def mend(self, run_dir: Path) -> None:
        """What a user does before the job is started again."""


@dataclass
class Kill(Fault):
    """kill -9 of one of the job's processes."""

    title: str
    told: str
    code: int | None = os.EX_TEMPFAIL

    def strike(self, job: RunningJob) -> None:
        job.process(self.title).kill()


@dataclass
class Stop(Fault):
    """SIGSTOP of one of the job's processes, which then neither computes nor ends."""

    title: str
    which: int = 0

    def strike(self, job: RunningJob) -> None:
        job.process(self.title, self.which).suspend()


class KillDriver(Fault):
    """kill -9 of the process that holds the control loop."""

    code = -signal.SIGKILL

    def strike(self, job: RunningJob) -> None:
        job.driver.kill()


class KillRaylet(Fault):
    """kill -9 of the raylet, with which all actors of the node end. Ray ends the driver too, or an actor is missed."""

    code = None

    def strike(self, job: RunningJob) -> None:
        job.raylet().kill()


class Terminate(Fault):
    """SIGTERM, as from a scheduler."""

    code, told = 0, r"SIGTERM: stopped after step \d+; .*global_step\d+ is complete"

    def strike(self, job: RunningJob) -> None:
        job.driver.terminate()


class SpoilNewestCheckpoint(KillDriver):
    """kill -9 of the driver, and the newest checkpoint loses the end of a file."""

    def mend(self, run_dir: Path) -> None:
        checkpoints = run_dir / "checkpoints" / "_actor"
        newest = checkpoints / (checkpoints / "latest").read_text()
        file = max(newest.glob("*.pt"), key=lambda file: file.stat().st_size)
        os.truncate(file, file.stat().st_size // 2)


@dataclass
class FullDisk(Fault):
    """The disk of the checkpoints, a small one of its own, has no room left until the job has ended."""

    filler: Path
    told: str = r"--ckpt.path .* could not be saved"

    def strike(self, job: RunningJob) -> None:
        with self.filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(2**16))
            except OSError:
                pass

    def mend(self, run_dir: Path) -> None:
        self.filler.unlink()


class RewardServerGone(Fault):
    """The reward server ends, and is back before the job is."""

    code = os.EX_TEMPFAIL
    told = r"stopped in step \d+: NoAnswerError: --reward.remote_url http.*no answer.*global_step\d+ is complete"

    def __init__(self) -> None:
        self._port = 0
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/reward"  # with --reward.patience 0 it is gone at once

    def strike(self, job: RunningJob) -> None:
        self._server.shutdown()
        self._server.server_close()

    def mend(self, run_dir: Path) -> None:
        self._start()

    def _start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), ParityReward)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


class ParityReward(BaseHTTPRequestHandler):
    """OpenRLHF's contract of reward servers; the reward is the parity of the text's length."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
        rewards = [float(len(query) % 2) for query in queries]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"rewards": rewards, "scores": rewards, "extra_logs": {}}).encode())

    def log_message(self, *arguments: object) -> None:
        """Not to the terminal."""


SAVE_STEPS = 2
LOG = r" log .*/logs/worker-"  # of the dead process
KILLS = {
    "policy rank": Kill("ray::PolicyActor", rf"policy rank 0 died.*{LOG}.*(load_enable goes on|no checkpoint yet)"),
    "rollout engine": Kill("ray::RolloutEngine", rf"rollout engine 0 died.*{LOG}.*global_step\d+ is complete"),
    "vLLM's core": Kill("VLLM::EngineCore", rf"rollout engine 0 died.*{LOG}.*global_step\d+ is complete"),
    "driver": KillDriver(),
    "raylet": KillRaylet(),
    "SIGTERM": Terminate(),
    "checkpoint cut short": SpoilNewestCheckpoint(),
}


@dataclass
class Report:
    """What came of a job that was broken again and again."""

    steps_lost: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of a recovery by itself
    metrics: list[dict[str, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def fault_options(model: str, data: str, reward: str, folder: Path, **changes: Any) -> list[str]:
    """Of a deterministic job of 24 steps, four epochs, with a checkpoint every two steps.

    A step takes a fifth of a second: some must be left when a fault has struck, or the job ends as if nothing had.
    """
    common = {"train__num_episodes": 4, "ckpt__save_steps": SAVE_STEPS, "train__full_determinism_enable": True}
    common["train__max_restarts"] = 0  # `broken_and_resumed` is the person who starts it again
    return job_options(model, data, reward, folder, **(common | changes))


def unbroken_metrics(options: list[str], run_dir: Path, hosts: int = 1) -> list[dict[str, float]]:
    """Without the timings, of a job to which nothing happens."""
    with running_job(options, run_dir, hosts) as job:
        code, said = job.end()
    assert code == 0, said
    return [without_timings(row) for row in read_metrics(run_dir)]


def broken_and_healed(
    options: list[str],
    run_dir: Path,
    strikes: list[tuple[int, Fault]],
    last: tuple[int, Fault] | None = None,
    hosts: int = 1,
) -> Report:
    """Run the job, and let each fault strike once the metrics of its step are written; nobody starts it again.

    The `last` one ends it.
    """
    report = Report()
    with running_job([*options, "--train.max_restarts", "3"], run_dir, hosts) as job:
        for step, fault in strikes:
            job.wait_for_step(step)
            fault.strike(job)
            job.wait_for_events(len(report.steps_lost) + 1)
            report.steps_lost.append(job.events()[-1]["steps_lost"])
            report.seconds.append(job.events()[-1]["seconds"])
        if last:
            job.wait_for_step(last[0])
            last[1].strike(job)
        code, said = job.end()
    assert code == (last[1].code if last else 0), said
    report.said.append(said)
    report.metrics = [without_timings(row) for row in read_metrics(run_dir)]
    return report


def broken_and_resumed(
    options: list[str], run_dir: Path, strikes: list[tuple[int, Fault]], last_start: Sequence[str] = ()
) -> Report:
    """Run the job, let each fault strike once the metrics of its step are written, resume, and so on to the end; the
    last time with more options, `last_start`."""
    report, options = Report(), [*options, "--ckpt.load_enable"]
    for step, fault in strikes:
        with running_job(options, run_dir) as job:
            job.wait_for_step(step)
            fault.strike(job)
            code, said = job.end()
            reached = job.step()
        assert fault.code is None or code == fault.code, said
        assert re.search(fault.told, said), said
        fault.mend(run_dir)
        report.said.append(said)
        report.steps_lost.append(reached)  # until the next start says where it goes on
        report.steps_lost[-1] -= _resumed_step(run_dir)
    report.metrics = unbroken_metrics([*options, *last_start], run_dir)
    return report


def _resumed_step(run_dir: Path) -> int:
    """The step that `--ckpt.load_enable` goes on from."""
    from prepo_rlhf.files.checkpoint_manifest import find_resumable

    tag = find_resumable(run_dir / "checkpoints" / "_actor").tag
    return int(tag.rpartition("step")[2]) if tag else 0
