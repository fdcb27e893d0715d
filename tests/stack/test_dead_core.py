"""A call that vLLM's core never answers, because it died, fails instead of waiting for ever."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import ray
from fleets import make_config, running_fleet

pytestmark = pytest.mark.usefixtures("ray_head")


def test_a_call_to_a_core_that_dies(tiny_llama: str, tmp_path: Path) -> None:
    config = make_config(tiny_llama, tmp_path)
    with running_fleet(config) as fleet:
        (engine,) = fleet.engines
        pid = ray.get(engine.__ray_call__.remote(lambda actor: os.getpid()))
        (core,) = (child for child in psutil.Process(pid).children() if child.name().startswith("VLLM"))
        core.suspend()
        call = engine.pause_generation.remote()
        with pytest.raises(ray.exceptions.GetTimeoutError):
            ray.get(call, timeout=5)
        core.kill()
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(call, timeout=60)
