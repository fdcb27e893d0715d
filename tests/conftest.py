"""Fixtures shared by the tests: a Ray head of their own, tiny models, tiny data."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import make_tiny_model
from tiny_tasks import BENCHMARKS, REWARD_FILE, question_rows


@pytest.fixture(scope="session")
def ray_head() -> Iterator[str]:
    """Address of a Ray head with logical GPUs, on a port of its own; stopped after the tests."""
    port = _free_port()
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short: Ray keeps sockets in it
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={port}", "--num-cpus=8", "--num-gpus=8", "--include-dashboard=false", f"--temp-dir={folder}"]
    command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={512 * 2**20}"]
    log = open(Path(folder) / "head.log", "w")
    head = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    address = f"127.0.0.1:{port}"
    _wait_for(Path(log.name), head)
    os.environ["RAY_ADDRESS"] = address
    yield address
    del os.environ["RAY_ADDRESS"]
    head.terminate()
    head.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_model(tmp_path_factory.mktemp("llama"), [row["question"] for row in question_rows(200)])


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """120 questions as JSON lines with the keys `question` and `answer`."""
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in question_rows(120)))
    return str(path)


@pytest.fixture(scope="session")
def parity_reward(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward file that a random model earns about half the time: the parity of the text's length."""
    path = tmp_path_factory.mktemp("reward") / "parity.py"
    path.write_text(REWARD_FILE)
    return str(path)


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """The folder of real benchmark data, where there is one."""
    if not BENCHMARKS.is_dir():
        pytest.skip(f"no benchmark data in {BENCHMARKS}")
    return BENCHMARKS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(log: Path, head: subprocess.Popen) -> None:
    """Until the head says that it runs: its port is open long before its raylet has joined, or failed to."""
    for _ in range(240):
        if head.poll() is not None:
            raise RuntimeError(f"the Ray head ended with {head.returncode}:\n{log.read_text()}")
        if "Ray runtime started" in log.read_text():
            return
        time.sleep(0.5)
    raise RuntimeError(f"the Ray head did not start:\n{log.read_text()}")
