"""GRESO: streaks, chances and batch sizes by hand; how often who is skipped; resume."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome

from prepo_rlhf.selection import PromptOutcome
from prepo_rlhf.selection.greso import GresoSelector

EASY, HARD, VARIED = 8, 0, 3  # right of 8


def in_second_epoch() -> GresoSelector:
    selector = GresoSelector(seed=0)
    for _ in range(2):
        selector.select(candidates_of([999]), 1, 0.0)
    return selector


def shares_skipped(selector: GresoSelector, indices: range, draws: int = 3000) -> list[float]:
    candidates = candidates_of(indices)
    counts = Counter(i for _ in range(draws) for i in selector.select(candidates, 1, 0.0))
    return [1 - counts[i] / draws for i in range(len(candidates))]


def test_all_prompts_without_a_streak_are_offered_in_random_order() -> None:
    selector = GresoSelector(seed=0)
    assert selector.drops_zero_variance and not selector.needs_scores
    selector.observe([outcome(0, EASY)])
    selector.observe([outcome(0, VARIED)])
    first = Counter()
    for _ in range(400):
        chosen = selector.select(candidates_of(range(4)), 2, 0.0)
        assert sorted(chosen) == [0, 1, 2, 3]
        first[chosen[0]] += 1
    assert all(60 < first[i] < 140 for i in range(4))
    assert selector.metrics()["prepo/skipped_ratio"] == 0.0


def test_prompts_are_skipped_by_the_length_of_their_streak() -> None:
    """In the first epoch, where the chances stay 0.5. The kind is that of the last group, z counts both kinds."""
    selector = GresoSelector(seed=0)
    histories = [[EASY], [HARD, HARD], [HARD, EASY, EASY], [HARD, VARIED, HARD], [EASY] * 12]
    for index, history in enumerate(histories):
        for right in history:
            selector.observe([outcome(index, right)])
    expected = [1 - 0.5, 1 - 0.25, 1 - 0.125, 1 - 0.5, 1 - 0.01]
    assert shares_skipped(selector, range(5)) == pytest.approx(expected, abs=0.04)


def test_the_longest_streak_is_offered_once_in_a_hundred() -> None:
    selector = GresoSelector(seed=0)
    for _ in range(30):
        selector.observe([outcome(0, HARD)])
    offered = sum(len(selector.select(candidates_of([0]), 1, 0.0)) for _ in range(3000))
    assert 10 < offered < 60


def test_easy_and_hard_have_chances_of_their_own() -> None:
    selector = in_second_epoch()
    for _ in range(30):  # all groups easy: the easy chance falls, the hard one rises
        selector.observe([outcome(50, EASY)])
    selector.observe([outcome(0, EASY), outcome(1, HARD)])  # both above their targets
    chances = selector.metrics()
    assert chances["prepo/greso_p_easy"] == pytest.approx(0.5 - 0.31)
    assert chances["prepo/greso_p_hard"] == pytest.approx(0.5 + 0.29)
    assert shares_skipped(selector, range(2)) == pytest.approx([1 - 0.19, 1 - 0.79], abs=0.04)


@pytest.mark.parametrize(
    ("rewards", "kind"),
    [
        ((0.98, 0.98), "easy"),
        ((1.1, 1.1), "easy"),
        ((0.97, 0.97), "hard"),
        ((-1.0, -1.0), "hard"),
        ((1.0, 1.1), None),
    ],
)
def test_kinds_of_groups(rewards: tuple[float, ...], kind: str | None) -> None:
    selector = GresoSelector(seed=0)
    selector.observe([PromptOutcome(0, rewards)])
    assert selector.state_dict()["streaks"] == ({} if kind is None else {0: (kind, 1)})


@given(steps=st.lists(st.lists(st.sampled_from([EASY, HARD, VARIED]), min_size=1, max_size=12), max_size=60))
def test_chances_follow_the_shares_observed_from_the_second_epoch_on(steps: list[list[int]]) -> None:
    selector, easy, hard = in_second_epoch(), 0.5, 0.5
    for step in steps:
        selector.observe([outcome(i, right) for i, right in enumerate(step)])
        easy += -0.01 if step.count(EASY) / len(step) >= 0.25 / 3 else 0.01
        hard += -0.01 if step.count(HARD) / len(step) >= 0.25 * 2 / 3 else 0.01
        easy, hard = (min(max(p, 0.05), 0.95) for p in (easy, hard))
    assert selector.metrics() == pytest.approx(
        {"prepo/greso_p_easy": easy, "prepo/greso_p_hard": hard, "prepo/skipped_ratio": 0.0}
    )


def test_the_second_epoch_begins_when_a_candidate_comes_again() -> None:
    selector = GresoSelector(seed=0)
    for indices, easy in [(range(3), 0.5), (range(3, 6), 0.5), (range(5, 8), 0.49), (range(8, 9), 0.48)]:
        selector.select(candidates_of(indices), 1, 0.0)
        selector.observe([outcome(100, EASY)])
        assert selector.metrics()["prepo/greso_p_easy"] == pytest.approx(easy)


@pytest.mark.parametrize(
    ("zero_variance", "missing", "k", "batch"),
    [
        (0.0, 256, 256, 384),
        (0.0, 100, 256, 125),
        (0.5, 100, 256, 250),
        (0.75, 100, 256, 384),
        (1.0, 1, 256, 384),
        (0.0, 10, 256, 64),
        (0.5, 2, 16, 5),
        (0.0, 1, 2, 2),
        (0.0, 1, 1, 2),
    ],
)
def test_sampling_batch(zero_variance: float, missing: int, k: int, batch: int) -> None:
    selector = GresoSelector(seed=0)
    equal = round(zero_variance * 8)
    selector.observe([outcome(i, HARD if i < equal else VARIED) for i in range(8)])
    assert selector.rollout_batch(missing, k) == batch


@given(missing=st.integers(1, 300), k=st.integers(1, 300), equal=st.integers(0, 8))
def test_sampling_batch_stays_in_its_bounds(missing: int, k: int, equal: int) -> None:
    selector = GresoSelector(seed=0)
    selector.observe([outcome(i, EASY if i < equal else VARIED) for i in range(8)])
    assert k / 4 <= selector.rollout_batch(min(missing, k), k) <= math.ceil(1.5 * k)


def test_nothing_to_report_before_a_selection_and_nothing_to_learn_from_no_groups() -> None:
    selector = GresoSelector(seed=0)
    selector.observe([])
    assert selector.metrics() == {}


def test_more_may_be_wanted_than_there_is() -> None:
    assert sorted(GresoSelector(seed=0).select(candidates_of(range(3)), 5, 0.0)) == [0, 1, 2]


def test_resumes() -> None:
    assert_resumes(GresoSelector)
