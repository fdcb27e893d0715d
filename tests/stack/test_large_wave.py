"""A wave of more requests than Ray lets into an actor by default, as an evaluation has."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray
from fleets import make_config, running_fleet

pytestmark = pytest.mark.usefixtures("ray_head")

SIZE = 1_001


def test_a_wave_of_more_than_a_thousand_requests_is_complete(tiny_llama: str, tmp_path: Path) -> None:
    with running_fleet(make_config(tiny_llama, tmp_path, train__full_determinism_enable=True)) as fleet:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        (engine,) = fleet.engines
        params = SamplingParams(max_tokens=1, seed=0, output_kind=RequestOutputKind.FINAL_ONLY)
        calls = [engine.rollout.remote("", [5, 6, 7], "", params, (place, SIZE)) for place in range(SIZE)]
        assert all(len(responses) == 1 for responses in ray.get(calls, timeout=180))
