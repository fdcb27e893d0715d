"""Rollouts beside training: which weights a batch has, in which order batches come, and what is left at the end."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tiny_candidates import make_prompt
from tiny_streams import selector_named

import prepo_rlhf.ray  # noqa: F401  (makes the process ready for OpenRLHF)
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.rollout.sync_async import AsyncSchedule, make_schedule
from prepo_rlhf.selection import PromptOutcome, PromptStream

REQUIRED = "--actor.model_name_or_path m --data.prompt_dataset d.jsonl --reward.remote_url r.py".split()
DATASET = [make_prompt(i) for i in range(40)]


def schedule_of(*flags: str) -> AsyncSchedule:
    return make_schedule(job_config([*REQUIRED, "--train.async_enable", *flags]), engines=[])


def stream_of(selector: str = "random") -> PromptStream:
    """8 windows of |B| = 10 candidates, K = 3."""
    score = lambda candidates: [1.0 + c.row for c in candidates]  # noqa: E731
    return PromptStream(DATASET, selector_named(selector, seed=1), 10, 3, num_episodes=2, seed=5, score=score)


@dataclass
class Batch:
    draw: int
    progress: float
    indices: list[int]
    syncs: tuple[int, int]
    state: dict[str, Any]


@dataclass
class Run:
    """The control loop without models: a window a batch, a sync after each step, both taking random times."""

    schedule: AsyncSchedule
    stream: PromptStream
    longest_collect: float = 0.004
    longest_train: float = 0.004
    syncs: int = 0
    luck: random.Random = field(default_factory=lambda: random.Random(0))

    def collect(self) -> Batch | None:
        before = self.syncs
        window = self.stream.draw()
        if window is None:
            return None
        time.sleep(self.luck.uniform(0, self.longest_collect))
        chosen = [c.row for c in window.selected]
        return Batch(window.draw, window.progress, chosen, (before, self.syncs), self.stream.state_dict())

    def steps(self) -> Iterator[tuple[Batch, dict[str, Any]]]:
        """Each step's batch, and what a checkpoint after it holds."""
        for batch in self.schedule.batches(self.collect):
            time.sleep(self.luck.uniform(0, self.longest_train))
            with self.schedule.exclusive_engines():
                self.syncs += 1
            self.stream.observe([PromptOutcome(index, (float(index % 2), 0.0)) for index in batch.indices])
            yield batch, self.stream.up_to_date(batch.state)


@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("slow", ["neither", "rollouts", "training"])
def test_no_batch_is_staler_than_the_queue_is_long_and_none_mixes_weights(ahead: int, slow: str) -> None:
    run = Run(
        schedule_of(f"--train.async_queue_size={ahead}"), stream_of(),
        longest_collect=0.03 if slow == "rollouts" else 0.002, longest_train=0.03 if slow == "training" else 0.002,
    )  # fmt: skip
    batches = [batch for batch, _ in run.steps()]
    assert [batch.draw for batch in batches] == list(range(8))
    assert [batch.progress for batch in batches] == [draw / 7 for draw in range(8)]
    stale = [step - batch.syncs[0] for step, batch in enumerate(batches)]
    assert all(0 <= age <= min(step, ahead) for step, age in enumerate(stale))
    assert all(first == last for first, last in (batch.syncs for batch in batches))


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_under_full_determinism_the_staleness_is_no_question_of_time(ahead: int) -> None:
    run = Run(schedule_of(f"--train.async_queue_size={ahead}", "--train.full_determinism_enable"), stream_of())
    stale = [step - batch.syncs[0] for step, (batch, _) in enumerate(run.steps())]
    assert stale == [min(step, ahead) for step in range(8)]


def test_a_sync_does_not_wait_for_a_second_batch() -> None:
    """With training much faster than rollouts, each batch has the weights that were there when the last one ended."""
    run = Run(schedule_of("--train.async_queue_size=3"), stream_of(), longest_train=0)
    run.luck.uniform = lambda low, high: 0.1 if high else 0.0
    stale = [step - batch.syncs[0] for step, (batch, _) in enumerate(run.steps())]
    assert max(stale) == 1


@pytest.mark.parametrize("selector", ["random", "mopps", "prepo"])
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_run_draws_every_window_once(selector: str, stop: int) -> None:
    """Stopped with two batches in the queue: they are drawn anew, with random numbers as if for the first time."""
    run = Run(schedule_of("--train.async_queue_size=2"), stream_of(selector))
    steps = run.steps()
    done = [next(steps) for _ in range(stop)]
    steps.close()
    other = stream_of(selector)
    other.load_state_dict(done[-1][1])
    rest = list(Run(schedule_of("--train.async_queue_size=2"), other).steps())
    assert [batch.draw for batch, _ in done + rest] == list(range(8))
    if selector != "mopps":  # whose choices depend on when outcomes arrive
        unbroken = [batch.indices for batch, _ in Run(schedule_of(), stream_of(selector)).steps()]
        assert [batch.indices for batch, _ in done + rest] == unbroken


def test_what_is_queued_behind_the_end_or_a_stop_is_not_begun() -> None:
    calls = []

    def collect() -> Any:
        calls.append(time.sleep(0.02))
        return "batch"

    batches = schedule_of("--train.async_queue_size=5").batches(collect)
    next(batches)
    batches.close()
    assert len(calls) <= 2


def test_an_error_while_collecting_reaches_the_control_loop() -> None:
    def collect() -> Any:
        raise RuntimeError("engine died")

    with pytest.raises(RuntimeError, match="engine died"):
        next(schedule_of("--train.async_queue_size=2").batches(collect))
