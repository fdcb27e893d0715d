"""The key of Weights & Biases is in nothing that a run leaves or shows, on the real stack with wandb offline."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from tiny_tasks import ROOT, job_options, read_metrics

KEY = "fedcba9876543210fedcba9876543210fedcba98"


def run_and_look(arguments: list[str], run_dir: Path, environment: dict[str, str]) -> tuple[str, list[str], list[str]]:
    """Run a job; its output, and what the machine's command lines and its own processes' environments were in training.

    Reading another process' environment is for its owner alone, unlike its command line.
    """
    log = run_dir.with_name("output.txt")
    with open(log, "w") as output:
        command = [sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *arguments]
        job = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=os.environ | environment)
        while job.poll() is None and not (run_dir / "metrics.jsonl").is_file():
            time.sleep(0.1)
        commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        environments = [environment_of(process) for process in psutil.Process(job.pid).children(recursive=True)]
        assert job.wait(timeout=400) == 0, log.read_text()
    return log.read_text(), commands, environments


def environment_of(process: psutil.Process) -> str:
    """As the process was given it; empty if it has ended since it was listed, as the short ones of a start do."""
    try:
        return str(process.environ())
    except psutil.NoSuchProcess:
        return ""


def files_with(text: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def drivers_known_to_ray() -> tuple[Path, str]:
    """Ray's folder of logs, and all that its control store knows of the jobs that it has had."""
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
    try:
        worker: Any = ray._private.worker.global_worker
        return Path(worker.node.get_session_dir_path()), str(ray._private.state.state.job_table())
    finally:
        ray.shutdown()


@pytest.mark.parametrize("how", ["flag", "file", "environment"])
def test_a_run_leaves_no_key(
    how: str, tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path, ray_head: str
) -> None:
    run_dir, options = tmp_path / "run", tmp_path / "key.yaml"
    options.write_text(f"logger: {{wandb: {{key: {KEY}}}}}\n")
    arguments = job_options(
        tiny_llama, tiny_data, parity_reward, run_dir, data__max_samples=40, ckpt__save_steps=1,
    )  # fmt: skip
    arguments += {
        "flag": ["--logger.wandb.key", KEY],
        "file": ["--config", str(options)],
        "environment": ["--logger.wandb.enable"],
    }[how]
    environment = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    if how == "environment":
        environment["WANDB_API_KEY"] = KEY
    output, commands, environments = run_and_look(arguments, run_dir, environment)
    options.unlink()
    assert len(read_metrics(run_dir)) == 2 and list((run_dir / "checkpoints").rglob("*.pt"))

    told = [run_dir.name, *(["***"] if how == "flag" else [])]
    assert all(files_with(word, tmp_path / "wandb") for word in told)  # wandb writes the command line down
    assert any("prepo_rlhf.cli.train_prepo_ray" in command and str(run_dir) in command for command in commands)
    session, jobs = drivers_known_to_ray()
    assert str(run_dir) in jobs and files_with("PolicyActor", session)
    assert not files_with(KEY, tmp_path, session)
    assert KEY not in output and not [command for command in commands if KEY in command]
    assert any("RAY_ADDRESS" in kept for kept in environments)
    assert KEY not in jobs and (how == "environment" or not [kept for kept in environments if KEY in kept])
