"""Rollouts during training, in whole jobs: which weights chose and generated them, and whether every window is used."""

from __future__ import annotations

import json
from math import exp, floor
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_candidates import make_prompt
from tiny_tasks import job_options, read_metrics, run_job, without_timings
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection import Candidate, PromptStream, make_selector

pytestmark = pytest.mark.usefixtures("ray_head")

STEPS, NUM_CANDIDATES, K = 6, 20, 4
ASYNC = dict(train__async_enable=True, ckpt__save_steps=1, ckpt__max_num=100, actor__adam__lr=0.01)


class Weights:
    """Perplexities of the job's prompts under the weights after each of its steps, by a plain forward."""

    def __init__(self, model: str, data: str, run_dir: Path) -> None:
        self._model, self._run_dir = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), run_dir
        texts = [json.loads(line)["question"] for line in Path(data).read_text().splitlines()]
        self.prompts = AutoTokenizer.from_pretrained(model)(texts, add_special_tokens=False)["input_ids"]
        self._base = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    @torch.no_grad()
    def perplexities(self, step: int) -> list[float]:
        tag = f"checkpoints/_actor/global_step{step}/mp_rank_00_model_states.pt"
        saved = torch.load(self._run_dir / tag, weights_only=False)["module"] if step else self._base
        self._model.load_state_dict({name.removeprefix("model.model."): tensor for name, tensor in saved.items()})
        result = []
        for prompt in self.prompts:
            ids = torch.tensor([prompt])
            log_probs = self._model(ids).logits[0, :-1].log_softmax(-1)
            result.append(exp(-log_probs.gather(-1, ids[0, 1:, None]).double().mean().item()))
        return result


def windows(num_prompts: int) -> list[list[int]]:
    """The candidates of every draw of the job, as rows of its data."""
    scored: list[list[int]] = []

    def score(candidates: list[Candidate]) -> list[float]:
        scored.append([c.row for c in candidates])
        return [1.0] * len(candidates)

    dataset = [make_prompt(row) for row in range(num_prompts)]
    stream = PromptStream(dataset, make_selector(PrepoOptions(), 42), NUM_CANDIDATES, K, 1, 42, score)
    while stream.draw() is not None:
        pass
    return scored


def prompts_of(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "prompts.jsonl").read_text().splitlines()]


def run(options: list[str]) -> None:
    done = run_job(options)
    assert done.returncode == 0, done.stderr


def assert_windows_are_the_schedules(model: str, data: str, run_dir: Path, queue: int) -> None:
    """The engines' weights at every step, known from checkpoints and the staleness, give the same window."""
    weights, rows, prompts = Weights(model, data, run_dir), read_metrics(run_dir), prompts_of(run_dir)
    draws = windows(len(weights.prompts))
    assert len(rows) == len(prompts) == len(draws) == STEPS
    versions = []
    for draw, (row, rolled_out) in enumerate(zip(rows, prompts, strict=True)):
        staleness = row["rollout/staleness_max"]
        assert row["rollout/staleness_mean"] == staleness and row["rollout/mixed_weights_ratio"] == 0
        assert 0 <= staleness <= min(draw, queue)
        versions.append(draw - int(staleness))
        start = floor(draw / (STEPS - 1) * (NUM_CANDIDATES - K))
        assert row["prepo/progress"] == draw / (STEPS - 1) and row["prepo/window_start"] == start
        perplexities = weights.perplexities(versions[-1])
        ranked = sorted(draws[draw], key=lambda index: perplexities[index])
        assert rolled_out["rows"] == ranked[start : start + K]
        expected = [perplexities[index] for index in rolled_out["rows"]]
        assert rolled_out["perplexities"] == pytest.approx(expected, rel=1e-4)
        if draw:
            assert rolled_out["perplexities"] != pytest.approx(
                [weights.perplexities(versions[-1] + 1)[index] for index in rolled_out["rows"]], rel=1e-3
            ), "a step changed too little to tell old weights from new"
    assert versions == sorted(versions)


@pytest.mark.parametrize("queue", [1, pytest.param(3, marks=pytest.mark.long)])
def test_windows_at_any_timing(
    queue: int, tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    run(job_options(tiny_llama, tiny_data, parity_reward, tmp_path, train__async_queue_size=queue, **ASYNC))
    assert_windows_are_the_schedules(tiny_llama, tiny_data, tmp_path, queue)


@pytest.mark.long
@pytest.mark.parametrize("allocation", ["fixed", "pilot"])
def test_a_run_repeats_itself(
    allocation: str, tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    changes = dict(ASYNC, train__full_determinism_enable=True, prepo__allocation=allocation)
    for name in ("run", "twin"):
        run(job_options(tiny_llama, tiny_data, parity_reward, tmp_path / name, **changes))
    rows, twins = ([without_timings(row) for row in read_metrics(tmp_path / name)] for name in ("run", "twin"))
    assert rows == twins


@pytest.mark.long
def test_a_resumption_uses_every_window_once(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    """What was in the queue is drawn again as it was, and chosen and generated with the weights of the checkpoint."""
    changes = dict(ASYNC, train__full_determinism_enable=True)
    options = job_options(tiny_llama, tiny_data, parity_reward, tmp_path / "run", **changes)
    run(options)
    rows = [without_timings(row) for row in read_metrics(tmp_path / "run")]
    assert [row["rollout/staleness_max"] for row in rows] == [0, 1, 1, 1, 1, 1]
    assert_windows_are_the_schedules(tiny_llama, tiny_data, tmp_path / "run", queue=1)

    (tmp_path / "run" / "checkpoints" / "_actor" / "latest").write_text("global_step3")
    run([*options, "--ckpt.load_enable"])
    resumed = [without_timings(row) for row in read_metrics(tmp_path / "run")]
    assert resumed[:3] == rows[:3]
    assert [row["prepo/progress"] for row in resumed] == [row["prepo/progress"] for row in rows]
    assert [row["rollout/staleness_max"] for row in resumed] == [0, 1, 1, 0, 1, 1]
    assert_windows_are_the_schedules(tiny_llama, tiny_data, tmp_path / "run", queue=1)


@pytest.mark.long
def test_partial_rollout_mixes_weights_in_rollouts_and_not_in_windows(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    """Long responses, so that a step ends while they are generated."""
    changes = dict(
        ASYNC, train__partial_rollout_enable=True, train__async_queue_size=2, data__max_len=900,
        rollout__max_new_tokens=600, rollout__n_samples_per_prompt=2, algo__advantage__is_correction_level="token",
    )  # fmt: skip
    run(job_options(tiny_llama, tiny_data, parity_reward, tmp_path, **changes))
    weights, rows, prompts = Weights(tiny_llama, tiny_data, tmp_path), read_metrics(tmp_path), prompts_of(tmp_path)
    assert [row["prepo/progress"] for row in rows] == [draw / (STEPS - 1) for draw in range(STEPS)]
    assert any(row["rollout/mixed_weights_ratio"] > 0 for row in rows)
    draws = windows(len(weights.prompts))
    for draw, (row, rolled_out) in enumerate(zip(rows, prompts, strict=True)):
        assert 0 <= row["rollout/staleness_mean"] <= row["rollout/staleness_max"] <= min(draw, 2)
        assert set(rolled_out["rows"]) <= set(draws[draw])
        oldest = draw - int(row["rollout/staleness_max"])
        scored_by = [weights.perplexities(step) for step in range(max(0, oldest - 1), draw + 1)]
        start = row["prepo/window_start"]
        assert any(
            rolled_out["rows"] == sorted(draws[draw], key=lambda index: of_step[index])[start : start + K]
            and rolled_out["perplexities"]
            == pytest.approx([of_step[index] for index in rolled_out["rows"]], rel=1e-4)
            for of_step in scored_by
        ), "no single step's weights give this window"
