"""After KGPS, against a plain simulation of the filter and numerical integration; who is chosen; resume."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome
from tiny_streams import selector_named

from prepo_rlhf.selection.kgps import KgpsSelector, expected_usefulness

NUM_PROMPTS, TRIALS = 6, 8
Steps = list[dict[int, int]]  # of each step: prompt -> right
groups = st.dictionaries(st.integers(0, NUM_PROMPTS - 1), st.integers(0, TRIALS), max_size=NUM_PROMPTS)


def simulated(steps: Steps) -> tuple[list[tuple[float, float]], float]:
    """Mean and variance of every prompt's logit after the steps, from its whole history; and the last drift."""
    histories: list[list[tuple[int, float, float]]] = [[] for _ in range(NUM_PROMPTS)]
    estimates, moments, drift = [], [(0.0, math.pi**2 / 3)] * NUM_PROMPTS, 0.0
    for step, rights in enumerate(steps):
        changes, lucks, waits = [], [], []
        for prompt, right in rights.items():
            p = (2 * right + 1) / (2 * TRIALS + 2)
            z, r = math.log(p) - math.log(1 - p), 1 / (TRIALS * p * (1 - p))
            if histories[prompt]:
                last, before, noise = histories[prompt][-1]
                changes.append(abs(z - before))
                lucks.append(r + noise)
                waits.append(step - last)
            histories[prompt].append((step, z, r))
        if changes:
            deviation = sum(changes) / len(changes) * math.sqrt(math.pi / 2)
            estimate = (deviation * deviation - sum(lucks) / len(lucks)) / (sum(waits) / len(waits))
            estimates.append(estimate if estimate > 0 else 0.0)
            drift = estimates[0]
            for later in estimates[1:]:
                drift = 0.9 * drift + 0.1 * later
        for prompt in rights:
            mean, variance = moments[prompt]
            if len(histories[prompt]) > 1:
                variance += drift * (step - histories[prompt][-2][0])
            _, z, r = histories[prompt][-1]
            precision = 1 / variance + 1 / r  # the product of two normal densities
            moments[prompt] = ((mean / variance + z / r) / precision, 1 / precision)
    return [
        (mean, variance + (drift * (len(steps) - histories[i][-1][0]) if histories[i] else 0.0))
        for i, (mean, variance) in enumerate(moments)
    ], drift


@given(steps=st.lists(groups, max_size=20))
def test_the_filter_is_that_of_the_plain_simulation(steps: Steps) -> None:
    selector = KgpsSelector()
    for rights in steps:
        selector.observe([outcome(prompt, right) for prompt, right in rights.items()])
    moments, drift = simulated(steps)
    for prompt in range(NUM_PROMPTS):
        assert selector._predicted(prompt) == pytest.approx(moments[prompt], rel=1e-9, abs=1e-9)
    assert selector.metrics().get("prepo/logit_drift", 0.0) == pytest.approx(drift, abs=1e-9)


@given(mean=st.floats(-8, 8), variance=st.floats(1e-3, 12))
def test_usefulness_is_the_integral(mean: float, variance: float) -> None:
    total, width = 0.0, 0.01
    for number in range(-900, 901):
        u = number * width
        p = 1 / (1 + math.exp(-(mean + math.sqrt(variance) * u)))
        total += p * (1 - p) * math.exp(-u * u / 2) / math.sqrt(2 * math.pi) * width
    found = expected_usefulness(torch.tensor([mean]).double(), torch.tensor([variance]).double())
    assert found.item() == pytest.approx(total, abs=2e-6)


def test_chosen_are_the_most_useful() -> None:
    luck, selector, steps = random.Random(0), selector_named("kgps"), []
    for _ in range(40):
        indices = luck.sample(range(NUM_PROMPTS), NUM_PROMPTS)
        moments = torch.tensor(simulated(steps)[0], dtype=torch.float64)
        useful = expected_usefulness(*moments.unbind(-1)).tolist()
        chosen = selector.select(candidates_of(indices), 2, 0.0)
        best = sorted((useful[i] for i in indices), reverse=True)[:2]
        assert [useful[indices[i]] for i in chosen] == pytest.approx(best, abs=1e-12)
        steps.append({indices[i]: luck.randint(0, TRIALS) for i in chosen})
        selector.observe([outcome(prompt, right) for prompt, right in steps[-1].items()])


def test_half_solved_prompts_come_first_then_new_ones_in_the_order_offered_then_the_solved() -> None:
    selector = KgpsSelector()
    selector.observe([outcome(0, 8), outcome(1, 4)])
    assert selector.select(candidates_of([0, 5, 1, 4]), 4, 0.0) == [2, 1, 3, 0]


def test_the_more_the_pass_rates_move_the_sooner_a_solved_prompt_may_come_again() -> None:
    """Prompts 1 and 2 show how much: of one policy their rewards stay, of another they turn."""
    uncertain = {}
    for policy, later in (("still", (8, 0)), ("moving", (0, 8))):
        selector = KgpsSelector()
        selector.observe([outcome(0, 8), outcome(1, 8), outcome(2, 0)])
        for _ in range(8):
            selector.observe([])
        selector.observe([outcome(1, later[0]), outcome(2, later[1])])
        uncertain[policy] = selector._predicted(0)[1]
        by_hand = 0.0 if policy == "still" else (math.pi / 2 * (2 * math.log(17)) ** 2 - 2 * 18**2 / (8 * 17)) / 9
        assert selector.metrics()["prepo/logit_drift"] == pytest.approx(by_hand)
    assert uncertain["moving"] > 10 * uncertain["still"]


def test_needs_no_scores_and_resumes() -> None:
    assert not KgpsSelector.needs_scores
    assert_resumes(lambda seed: KgpsSelector())
