"""DPS against a plain simulation of all prompts, one number at a time; who is chosen; resume."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome
from tiny_streams import selector_named

from prepo_rlhf.selection import PromptOutcome
from prepo_rlhf.selection.dps import DpsSelector

NUM_PROMPTS = 7
NONE, SOME, ALL = 0, 3, 8  # right of 8
Steps = list[dict[int, int]]  # of each step: prompt -> right


def simulated(steps: Steps, decay: float) -> list[list[float]]:
    """The beliefs of all prompts after the steps, every prompt updated in every step."""
    beliefs = [[1 / 3] * 3 for _ in range(NUM_PROMPTS)]
    alphas = [[[1.0] * 3 for _ in range(3)] for _ in range(NUM_PROMPTS)]
    for step in steps:
        for prompt in range(NUM_PROMPTS):
            before, alpha, new = beliefs[prompt], alphas[prompt], beliefs[prompt]
            xi = [[0.0] * 3 for _ in range(3)]
            if prompt in step:
                state = 0 if step[prompt] == 0 else 2 if step[prompt] == 8 else 1
                new = [float(i == state) for i in range(3)]
                total = 0.0
                for i in range(3):
                    for j in range(3):
                        column = sum(alpha[other][j] for other in range(3))
                        xi[i][j] = new[i] * alpha[i][j] / column * before[j]
                        total += xi[i][j]
                xi = [[entry / total for entry in entries] for entries in xi]
            for i in range(3):
                for j in range(3):
                    alpha[i][j] = decay * alpha[i][j] + (1 - decay) * 1.0 + xi[i][j]
            moved = [0.0] * 3
            for i in range(3):
                for j in range(3):
                    moved[i] += alpha[i][j] / sum(alpha[other][j] for other in range(3)) * new[j]
            beliefs[prompt] = moved
    return beliefs


groups = st.dictionaries(st.integers(0, NUM_PROMPTS - 1), st.sampled_from([NONE, SOME, ALL]), max_size=NUM_PROMPTS)


@given(steps=st.lists(groups, max_size=25), decay=st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_beliefs_are_those_of_the_plain_simulation(steps: Steps, decay: float) -> None:
    selector = DpsSelector(decay)
    for step in steps:
        selector.observe([outcome(prompt, right) for prompt, right in step.items()])
    expected = simulated(steps, decay)
    for prompt, place in selector.places.items():
        assert selector.beliefs[place].tolist() == pytest.approx(expected[prompt], abs=1e-12)
    assert all(expected[i] == pytest.approx([1 / 3] * 3) for i in set(range(NUM_PROMPTS)) - set(selector.places))


def test_chosen_are_those_most_likely_to_be_between() -> None:
    luck, selector, steps = random.Random(0), selector_named("dps"), []
    for _ in range(60):
        indices = luck.sample(range(NUM_PROMPTS), NUM_PROMPTS)
        chances = [belief[1] for belief in simulated(steps, 0.7)]
        expected = sorted(range(NUM_PROMPTS), key=lambda i: -round(chances[indices[i]], 12))[:3]
        chosen = selector.select(candidates_of(indices), 3, 0.0)
        assert [round(chances[indices[i]], 9) for i in chosen] == [round(chances[indices[i]], 9) for i in expected]
        steps.append({indices[i]: luck.choice([NONE, SOME, ALL]) for i in chosen})
        selector.observe([outcome(prompt, right) for prompt, right in steps[-1].items()])


def test_new_prompts_come_before_the_solved_and_after_those_in_between_in_the_order_offered() -> None:
    selector = DpsSelector(0.7)
    selector.observe([outcome(0, ALL), outcome(1, SOME), outcome(2, NONE)])
    assert selector.select(candidates_of([0, 5, 1, 4]), 4, 0.0) == [2, 1, 3, 0]
    assert selector.select(candidates_of([2, 6]), 1, 0.0) == [1]


def test_prompts_left_alone_come_back_to_those_never_seen() -> None:
    selector = DpsSelector(0.7)
    selector.observe([outcome(0, ALL)])
    for _ in range(60):
        selector.observe([])
    assert selector.beliefs[0].tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_a_reward_counts_as_right_from_one_on() -> None:
    """Penalties and bonuses make no state between."""
    selector = DpsSelector(0.7)
    selector.observe([PromptOutcome(0, (0.9, 0.2)), PromptOutcome(1, (1.0, 1.1))])
    assert selector.counts[0].sum(dim=1).argmax() == 0 and selector.counts[1].sum(dim=1).argmax() == 2


def test_lambda_is_an_option_and_state_resumes() -> None:
    short, long = selector_named("dps", dps_lambda=0.0), selector_named("dps", dps_lambda=1.0)
    for selector in (short, long):
        for _ in range(5):
            selector.observe([outcome(0, SOME)])
    assert short.counts.sum() == pytest.approx(10) and long.counts.sum() == pytest.approx(14)
    assert not DpsSelector.needs_scores
    assert_resumes(lambda seed: DpsSelector(0.7))
