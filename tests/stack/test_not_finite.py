"""Numbers that are not finite stop a job before anything of them is saved, with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_tasks import job_options, run_job

pytestmark = pytest.mark.usefixtures("ray_head")

NAN_AT_THE_SEVENTH_CALL = """
import itertools, torch
calls = itertools.count(1)
def reward_func(queries, prompts, labels):
    return {"rewards": torch.tensor([float("nan") if next(calls) % 7 == 0 else 1.0])}
"""


@pytest.mark.long  # ends as a gradient that is not finite
def test_a_reward_that_is_nan(tiny_llama: str, tiny_data: str, tmp_path: Path) -> None:
    reward = tmp_path / "nan_reward.py"
    reward.write_text(NAN_AT_THE_SEVENTH_CALL)
    done = run_job(job_options(tiny_llama, tiny_data, str(reward), tmp_path / "run", ckpt__save_steps=1))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    told = f'stopped in step 1: RewardError: --reward.remote_url {reward}, for the prompt "There are'
    assert told.replace('"', "'") in done.stderr and '"rewards" is nan' in done.stderr
    assert "there is no checkpoint yet" in done.stderr
    assert "nan" in (tmp_path / "run" / "traceback.txt").read_text()
    assert not list((tmp_path / "run" / "checkpoints").rglob("*.pt"))


HUGE_FROM_THE_THIRD_STEP_ON = """
import itertools
calls = itertools.count(0)
def reward_func(queries, prompts, labels):
    return {"rewards": float(len(queries[0]) % 2) * (3e38 if next(calls) >= 32 else 1.0)}
"""


@pytest.mark.parametrize("stage", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_gradient_that_is_not_finite(stage: int, tiny_llama: str, tiny_data: str, tmp_path: Path) -> None:
    """Rewards are finite, and overflow in backward: what was saved before is sound, and stays the newest."""
    reward = tmp_path / "huge_reward.py"
    reward.write_text(HUGE_FROM_THE_THIRD_STEP_ON)
    options = job_options(
        tiny_llama, tiny_data, str(reward), tmp_path / "run", ckpt__save_steps=1, ds__zero_stage=stage,
        algo__advantage__estimator="dr_grpo", reward__clip_range=("-3.4e38", "3.4e38"), prepo__selector="random",
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "stopped in step 3, train: NotFiniteError: the " in done.stderr
    assert done.stderr.count("look at --actor.adam.lr") == 1
    assert "global_step2 is complete, and --ckpt.load_enable goes on from it" in done.stderr
    saved = list((tmp_path / "run" / "checkpoints").rglob("*model_states.pt"))
    assert len(saved) == 2
    for file in saved:
        state = torch.load(file, weights_only=False)["module"]
        assert state and all(weight.isfinite().all() for weight in state.values())
