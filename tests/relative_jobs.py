"""What the tests of several nodes share: clusters, and the files of a job that is told about them by relative paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import can_make_namespaces, loopback_hosts
from raylets import Cluster, ray_cluster
from tiny_tasks import job_options

MakeOptions = Callable[..., list[str]]


@pytest.fixture(scope="module")
def two_raylets() -> Iterator[Cluster]:
    """Two nodes with two logical GPUs each, on loopback."""
    with ray_cluster(loopback_hosts(2), gpus=2) as cluster:
        yield cluster


@pytest.fixture
def namespaces_wanted(request: pytest.FixtureRequest) -> None:
    if "multinode" not in request.config.option.markexpr:
        pytest.skip("by hand: pytest -m multinode")
    if not can_make_namespaces():
        pytest.skip("needs root, and `ip` of iproute2")


@pytest.fixture
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
