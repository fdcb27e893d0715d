"""The scripts that start Ray and run a job under Slurm, with real Ray and stand-ins for Slurm's own commands.

Two "nodes" are this machine twice. The job is not a training run, but a process that takes its time to save when told
to stop.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# Runs the command here, without the options of srun; each Ray node has ports of its own.
SRUN = r"""#!/usr/bin/env bash
while [[ $1 == --* ]]; do
    case $1 in --overlap) shift ;; *) shift 2 ;; esac
done
agent=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
options=(--num-cpus 2 --num-gpus 1 --object-store-memory 200000000 --dashboard-agent-listen-port "$agent")
[[ $* != *start_head* ]] || options+=(--ray-client-server-port "$CLIENT_PORT")
exec "$@" "${options[@]}"
"""
SCONTROL = """#!/usr/bin/env bash
case $1 in
show) printf '127.0.0.1\\nother\\n' ;;
requeue) echo "$2" >"$FOLDER/requeued" ;;
esac
"""
# Saves for longer than the three seconds after which Ray by itself kills a stopped job.
JOB = """
import pathlib, signal, sys, time

def save(*_):
    time.sleep(6)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(0)

import ray
ray.init(address="auto", log_to_driver=False)
signal.signal(signal.SIGTERM, save)  # after Ray, which sets a handler of its own
pathlib.Path(sys.argv[1], "nodes").write_text(f"{len(ray.nodes())} {sys.argv[2:]}")
while True:
    time.sleep(0.1)
"""
TRAIN = """#!/usr/bin/env bash
exec ray job submit --submission-id "$SUBMISSION_ID" -- python3 "$FOLDER/job.py" "$FOLDER" "$@"
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a batch script on two nodes."""
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "job.py": JOB, "train.sh": TRAIN}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short: Ray keeps sockets in it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client_port = probe.getsockname()[1]
    yield {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}",
        "FOLDER": str(tmp_path),
        "CLIENT_PORT": str(client_port),
        "RAY_TMPDIR": ray_folder,
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": str(4000 + os.getpid() % 5000),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "nodes",
    }
    shutil.rmtree(ray_folder, ignore_errors=True)


@contextmanager
def batch_script(slurm: dict[str, str], folder: Path) -> Iterator[subprocess.Popen]:
    """The Slurm script under way with the folder's train.sh; what it says is in `log`."""
    script = ROOT / "examples" / "scripts" / "slurm_train_prepo.sh"
    command = ["bash", script, folder / "train.sh", "--some", "option"]
    with (folder / "log").open("a") as file:
        batch = subprocess.Popen(command, env=slurm, stdout=file, stderr=file, start_new_session=True)
    try:
        yield batch
    finally:
        # What Slurm does when a batch script has ended: its steps, here the session's processes, end too.
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(batch.pid, how)
            time.sleep(5)


def test_a_job_saves_before_the_time_limit_and_is_queued_again(slurm: dict[str, str], tmp_path: Path) -> None:
    """Also: the job starts once both nodes are there, and is told to resume."""
    log, nodes = tmp_path / "log", tmp_path / "nodes"
    with batch_script(slurm, tmp_path) as batch:
        deadline = time.monotonic() + 400
        while not (nodes.is_file() and nodes.read_text()):
            assert batch.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        assert nodes.read_text() == "2 ['--some', 'option', '--ckpt.load_enable']"
        batch.send_signal(signal.SIGTERM)
        assert batch.wait(timeout=300) == 0, log.read_text()
        assert (tmp_path / "saved").is_file(), log.read_text()
        assert (tmp_path / "requeued").read_text().strip() == slurm["SLURM_JOB_ID"]


def test_a_job_that_died_is_queued_again_so_often_and_a_mistake_is_not(slurm: dict[str, str], tmp_path: Path) -> None:
    died, log = ROOT / f"slurm-{slurm['SLURM_JOB_ID']}.died", tmp_path / "log"
    try:
        for status, queued in ((2, False), (137, True), (75, False)):
            (tmp_path / "train.sh").write_text(f"exit {status}\n")
            (tmp_path / "requeued").unlink(missing_ok=True)
            with batch_script(slurm | {"MAX_RESTARTS": "1", "SLURM_JOB_NUM_NODES": "1"}, tmp_path) as batch:
                assert batch.wait(timeout=300) == (0 if queued else status), log.read_text()
            assert (tmp_path / "requeued").is_file() == queued
    finally:
        died.unlink(missing_ok=True)
