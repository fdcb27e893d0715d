"""How a step's rollouts are shared out by pilots, against a walk over the prompts one after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_candidates import make_prompt
from tiny_streams import selector_named

from prepo_rlhf.rollout.allocation import Part, RolloutBudget, allocation_metrics, collect_within_budget
from prepo_rlhf.rollout.step_groups import StepGroups
from prepo_rlhf.selection import Candidate, PromptSelector, PromptStream

SIZES = [(4, 2), (8, 4), (8, 2), (6, 3), (9, 3), (16, 2)]  # n, m
CANDIDATES = 80


class InOrder(PromptSelector):
    """Candidates in the stream's order, so that however many are asked for at once, the same come."""

    needs_scores = True

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        return list(range(k))


class Engine:
    """Sample i of a prompt's rollouts has a score that depends on prompt and i alone; keeps what it was asked for."""

    def __init__(self, seed: int, mixed: float) -> None:
        self.seed, self.mixed = seed, mixed
        self.rounds: list[list[Part]] = []
        self.events: list[str] = []

    def score(self, row: int, sample: int) -> float:
        luck = random.Random(f"{self.seed} {row}")
        rate = 0.5 if luck.random() < self.mixed else luck.choice((0.0, 1.0))
        return float(random.Random(f"{self.seed} {row} {sample}").random() < rate)

    def submit(self, parts: list[Part]) -> list[Part]:
        if parts:
            self.rounds.append(parts)
        self.events += ["submit"] * len(parts)
        return parts

    def receive(self, part: Part) -> tuple[tuple[float, ...], list[tuple[int, int]]]:
        self.events.append("receive")
        samples = [(part.candidate.row, sample) for sample in range(part.first, part.first + part.count)]
        return tuple(self.score(*sample) for sample in samples), samples


def stream_of(selector: PromptSelector, k: int) -> PromptStream:
    """Two windows."""
    prompts = [make_prompt(row, 5) for row in range(2 * CANDIDATES)]
    score = lambda candidates: [1.0 + c.row for c in candidates]  # noqa: E731
    return PromptStream(prompts, selector, CANDIDATES, k, num_episodes=1, seed=3, score=score)


def collect(
    engine: Engine, k: int, n: int, m: int, in_rounds: bool = False, selector: PromptSelector | None = None
) -> StepGroups[list[tuple[int, int]]]:
    stream = stream_of(selector or InOrder(), k)
    groups = collect_within_budget(stream, RolloutBudget(k, n, m), engine.submit, engine.receive, in_rounds)
    assert groups is not None
    return groups


def walk(engine: Engine, order: list[int], k: int, n: int, m: int) -> list[tuple[int, int]]:
    """Row and size of each group, rollout by rollout from a purse: one prompt at a time takes a pilot, looks at its
    rewards and takes the rest, where it may take no more than there is when all before it are done."""
    purse, groups = k * n, []
    for row in order:
        if not purse:
            break
        size = m
        if len({engine.score(row, sample) for sample in range(m)}) > 1:
            while size < n and size < purse:
                size += 1
        groups.append((row, size))
        purse -= size
    return groups


@pytest.mark.parametrize("in_rounds", [False, True])
@given(k=st.integers(1, 9), sizes=st.sampled_from(SIZES), seed=st.integers(0, 999), mixed=st.floats(0, 1))
@settings(max_examples=60)
def test_groups_are_those_of_a_walk_prompt_by_prompt(
    in_rounds: bool, k: int, sizes: tuple[int, int], seed: int, mixed: float
) -> None:
    """However many prompts are in rollout at once: exactly K n rollouts, in groups of m or n but for the last, each the
    prompt's samples 0, 1, 2 ..."""
    n, m = sizes
    engine = Engine(seed, mixed)
    groups = collect(engine, k, n, m, in_rounds)
    order = [c.row for c in stream_of(InOrder(), CANDIDATES).draw().selected]
    expected = walk(engine, order, k, n, m)
    assert groups.kept == [[(row, sample) for sample in range(size)] for row, size in expected]
    assert sum(size for _, size in expected) == k * n and len(groups.kept) <= k * n // m
    told = [(outcome.row, outcome.rewards, outcome.perplexity, outcome.num_tokens) for outcome in groups.outcomes]
    scores = {row: tuple(engine.score(row, sample) for sample in range(size)) for row, size in expected}
    assert told == [(row, scores[row], 1.0 + row, 5) for row, _ in expected]
    cut = [size for row, size in expected if size != n and len(set(scores[row][:m])) > 1]
    assert len(cut) <= 1 and all(size % m == 0 for size in cut)


@given(k=st.integers(1, 9), sizes=st.sampled_from(SIZES), seed=st.integers(0, 999), mixed=st.floats(0, 1))
@settings(max_examples=30)
def test_what_is_asked_for_is_a_pilot_and_the_rest(k: int, sizes: tuple[int, int], seed: int, mixed: float) -> None:
    """No prompt is asked twice for a sample, and in rounds nothing joins rollouts under way."""
    n, m = sizes
    engine = Engine(seed, mixed)
    groups = collect(engine, k, n, m, in_rounds=True)
    parts = [part for asked in engine.rounds for part in asked]
    assert len({(part.candidate.row, part.first) for part in parts}) == len(parts)
    assert all(part.count == m if part.first == 0 else part.first == m for part in parts)
    assert [part.first for part in engine.rounds[0]] == [0] * k and {part.draw for part in parts} == {0}
    assert sum(part.count for part in parts) == sum(map(len, groups.kept)) == k * n
    under_way, last = 0, "submit"
    for event in engine.events:
        assert event == "receive" or last == "submit" or under_way == 0
        under_way, last = under_way + (1 if event == "submit" else -1), event


def test_by_hand() -> None:
    """K = 3, n = 8, m = 4: two uniform pilots make room for a prompt, which is uniform, and 4 go to the last."""

    class Told(Engine):
        def score(self, row: int, sample: int) -> float:
            return float(sample % 2) if row in mixed else 1.0

    order = [c.row for c in stream_of(InOrder(), CANDIDATES).draw().selected]
    mixed = {order[1], order[4]}
    engine = Told(0, 0.0)
    groups = collect(engine, 3, 8, 4, in_rounds=True)
    asked = [[(order.index(part.candidate.row), part.first, part.count) for part in parts] for parts in engine.rounds]
    assert asked == [[(0, 0, 4), (1, 0, 4), (2, 0, 4)], [(1, 4, 4), (3, 0, 4)], [(4, 0, 4)]]
    assert [len(group) for group in groups.kept] == [4, 8, 4, 4, 4]
    measured = {name: value for name, value in groups.metrics.items() if name.startswith("rollout/")}
    assert measured == {
        "rollout/prompts": 5.0, "rollout/pilot_only_ratio": 0.8, "rollout/pilot_ratio": 20 / 24,
        "rollout/group_size_mean": 4.8,
    }  # fmt: skip


def test_all_mixed_is_the_fixed_allocation() -> None:
    engine = Engine(0, 1.0)
    engine.score = lambda row, sample: float(sample % 2)  # type: ignore[method-assign]
    groups = collect(engine, 5, 8, 4)
    assert [len(group) for group in groups.kept] == [8] * 5
    assert allocation_metrics([8] * 5, 4)["rollout/pilot_only_ratio"] == 0


SELECTORS = [
    ("prepo", {}), ("random", {}), ("low-ppl", {}), ("length", {}), ("mopps", {}), ("calibrated", {}), ("dps", {}),
    ("kgps", {}), ("bots", {}), ("prepo", {"pacing": "feedback"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SELECTORS)
def test_every_selector_gives_further_prompts(name: str, options: dict[str, Any]) -> None:
    """Of the same window, none twice, though every pilot is uniform; and takes in groups of all sizes."""
    engine, selector = Engine(1, 0.0), selector_named(name, **options)
    groups = collect(engine, 8, 8, 2, selector=selector)
    rows = [outcome.row for outcome in groups.outcomes]
    assert len(set(rows)) == len(rows) == 32
    window = [c.row for c in stream_of(InOrder(), CANDIDATES).draw().selected]
    assert set(rows) <= set(window)
    groups = collect(Engine(2, 0.6), 8, 8, 2, selector=selector)
    assert len({len(outcome.rewards) for outcome in groups.outcomes}) > 1
    selector.observe(groups.outcomes)


def test_low_ppl_goes_on_with_the_next_lowest() -> None:
    groups = collect(Engine(1, 0.0), 4, 8, 4, selector=selector_named("low-ppl"))
    window = sorted(c.row for c in stream_of(InOrder(), CANDIDATES).draw().selected)
    assert [outcome.row for outcome in groups.outcomes] == window[:8]


def test_predictions_come_with_further_prompts() -> None:
    engine = Engine(1, 0.0)
    collect(engine, 4, 8, 4, selector=selector_named("mopps"))
    assert all(part.candidate.prediction is not None for parts in engine.rounds for part in parts)


def test_the_end_of_the_data_is_no_step() -> None:
    stream, engine = stream_of(InOrder(), 4), Engine(0, 0.5)
    steps = [collect_within_budget(stream, RolloutBudget(4, 8, 4), engine.submit, engine.receive) for _ in range(3)]
    assert [step is None for step in steps] == [False, False, True]  # a window a step, whatever was drawn from it
