"""Which tests run, by their folder, and what they share: a Ray head of their own, tiny models, tiny data.

A test belongs to the tier of its folder and gets the folder's mark; a single long case is marked `long` by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tiny_models import make_tiny_model
from tiny_tasks import BENCHMARKS, REWARD_FILE, job_options, question_rows

MakeOptions = Callable[..., list[str]]
TESTS = Path(__file__).parent
QUICK, STACK, LONG, BY_HAND = ("unit", "contract", "hostile"), ("stack",), ("long",), ("multinode",)
settings.register_profile("any machine", deadline=None)  # a fifth of a second passes by itself where others work too
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers", "by default: --quick, and the tests on the real stack")
    group.addoption("--quick", action="store_true", help="unit, contract and hostile tests only, without Ray")
    group.addoption("--long", action="store_true", help="the long tests too")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Folders outside the tier are not even imported: the quick tier pays nothing for the stack."""
    outside = collection_path.is_dir() and collection_path.parent == TESTS and not _wanted(collection_path.name, config)
    return outside or None


@pytest.hookimpl(tryfirst=True)  # before pytest's own, which selects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks by folder; what is outside the tier is left out even where the command line names its file."""
    left_out = []
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in (*QUICK, *STACK, *LONG, *BY_HAND) or folder in QUICK and "ray_head" in item.fixturenames:
            raise pytest.UsageError(f"{item.nodeid} is in the wrong folder: see the tiers in tests/conftest.py")
        if not _wanted(folder, config) or item.get_closest_marker("long") and not config.option.long:
            left_out.append(item)
        item.add_marker(folder)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _wanted(folder: str, config: pytest.Config) -> bool:
    if folder in BY_HAND:
        return folder in config.option.markexpr
    return folder in QUICK or not config.option.quick and (folder in STACK or config.option.long)


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
    """120 questions as JSON lines with the keys `question`, `answer` and `subject`: "even" or "odd", as the row is."""
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    rows = [row | {"subject": "odd" if number % 2 else "even"} for number, row in enumerate(question_rows(120))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="session")
def parity_reward(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward file that a random model earns about half the time: the parity of the text's length."""
    path = tmp_path_factory.mktemp("reward") / "parity.py"
    path.write_text(REWARD_FILE)
    return str(path)


@pytest.fixture(scope="session")
def options_in(tiny_llama: str, tiny_data: str, parity_reward: str) -> MakeOptions:
    """Makes the options of a deterministic job of ZeRO-3 and two engines, to be run in the folder that is given."""

    def make(folder: Path, **changes: Any) -> list[str]:
        model, data, reward = (os.path.relpath(path, folder) for path in (tiny_llama, tiny_data, parity_reward))
        common: dict[str, Any] = {
            "data__max_samples": 60,
            "ds__zero_stage": 3,
            "vllm__num_engines": 2,
            "train__micro_batch_size": 2,
            "train__full_determinism_enable": True,
            "ckpt__save_steps": 1,
        }
        return job_options(model, data, reward, Path("run"), **(common | changes))

    return make


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
