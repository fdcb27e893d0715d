"""BOTS against a plain simulation that updates every prompt in every step; how often who is chosen; resume."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome
from tiny_candidates import make_prompt
from tiny_streams import selector_named

from prepo_rlhf.selection import Candidate
from prepo_rlhf.selection.bots import BotsSelector

NUM_PROMPTS, TRIALS = 7, 8
WEAK, STRONG = zip(*(make_prompt(i).reference_rates for i in range(NUM_PROMPTS)), strict=True)
Steps = list[dict[int, int]]  # of each step: prompt -> right


class Simulation:
    """a and b of all prompts, kept up to date."""

    def __init__(self, forgotten: float, rho: float) -> None:
        self.forgotten, self.rho, self.capability = forgotten, rho, None
        self.margin = 1.0  # of an error, to the threshold
        self.a, self.b = [1.0] * NUM_PROMPTS, [1.0] * NUM_PROMPTS

    def step(self, rights: dict[int, int]) -> None:
        shares = {prompt: right / TRIALS for prompt, right in rights.items()}
        mean = {name: sum(of[i] for i in shares) / len(shares) for name, of in
                (("s", shares), ("weak", WEAK), ("strong", STRONG))}  # fmt: skip
        now = (mean["s"] - mean["weak"]) / (mean["strong"] - mean["weak"] + 1e-6)
        self.capability = now if self.capability is None else 0.9 * self.capability + 0.1 * now
        implied = []
        for prompt in range(NUM_PROMPTS):
            rate = WEAK[prompt] + self.capability * (STRONG[prompt] - WEAK[prompt])
            implied.append(0.0 if rate < 0 else 1.0 if rate > 1 else rate)
        error = sum(abs(implied[i] - shares[i]) for i in shares) / len(shares)
        self.margin = min(self.margin, abs(error - 0.25))
        if error >= 0.25:
            self.rho = self.rho * 0.5
        for prompt in range(NUM_PROMPTS):
            rolled_out = prompt in shares
            rate = shares[prompt] if rolled_out else implied[prompt]
            for counts, share in ((self.a, rate), (self.b, 1 - rate)):
                seen = (1 - self.rho) * TRIALS * share if rolled_out else 0.0
                counts[prompt] = (
                    (1 - self.forgotten) * counts[prompt] + self.forgotten + seen + self.rho * TRIALS * share
                )


groups = st.dictionaries(
    st.integers(0, NUM_PROMPTS - 1), st.integers(0, TRIALS), min_size=1, max_size=NUM_PROMPTS
)  # fmt: skip


@given(steps=st.lists(groups, max_size=20), forgotten=st.sampled_from([0.0, 0.2, 1.0]), rho=st.sampled_from([0.2, 0.9]))
def test_posteriors_are_those_of_the_plain_simulation(steps: Steps, forgotten: float, rho: float) -> None:
    selector, simulation = BotsSelector(forgotten, rho, seed=0), Simulation(forgotten, rho)
    selector.select(candidates_of(range(NUM_PROMPTS)), NUM_PROMPTS, 0.0)
    for number, rights in enumerate(steps):
        selector.observe([outcome(prompt, right) for prompt, right in rights.items()])
        simulation.step(rights)
        assume(simulation.margin > 1e-9)  # else the last digit decides
        if number % 3 == 0:  # some are brought up to date on the way
            selector.select(candidates_of([number % NUM_PROMPTS, NUM_PROMPTS - 1 - number % 3]), 1, 0.0)
    selector.select(candidates_of(range(NUM_PROMPTS)), 1, 0.0)
    for prompt in range(NUM_PROMPTS):
        assert selector.posteriors[prompt][:2] == pytest.approx((simulation.a[prompt], simulation.b[prompt]))
    if steps:
        reported = {"prepo/bots_capability": simulation.capability, "prepo/bots_rho": simulation.rho}
        assert selector.metrics() == pytest.approx(reported)


def test_a_prompt_offered_late_has_what_was_implied_before() -> None:
    early, late = BotsSelector(0.2, 0.2, seed=0), BotsSelector(0.2, 0.2, seed=0)
    for selector, offered in ((early, range(7)), (late, range(4))):
        selector.select(candidates_of(offered), 4, 0.0)
        selector.references = {i: make_prompt(i).reference_rates for i in range(4)}
        for right in (1, 5, 2):
            selector.observe([outcome(i, right) for i in range(4)])
        selector.select(candidates_of(range(7)), 1, 0.0)
    assert early.posteriors == late.posteriors and early.posteriors[6][:2] != (1.0, 1.0)


def test_each_is_chosen_as_often_as_its_posterior_is_nearest_one_half() -> None:
    selector, simulation = BotsSelector(0.2, 0.2, seed=0), Simulation(0.2, 0.2)
    selector.select(candidates_of(range(NUM_PROMPTS)), NUM_PROMPTS, 0.0)
    for rights in ({0: 8, 1: 4, 2: 1}, {1: 3, 3: 0}):
        selector.observe([outcome(i, right) for i, right in rights.items()])
        simulation.step(rights)
    candidates, draws = candidates_of(range(NUM_PROMPTS)), 3000
    counts = Counter(i for _ in range(draws) for i in selector.select(candidates, 2, 0.0))

    torch.manual_seed(0)
    a, b = torch.tensor(simulation.a, dtype=torch.float64), torch.tensor(simulation.b, dtype=torch.float64)
    nearest = (torch.distributions.Beta(a, b).sample((100_000,)) - 0.5).abs().argsort(dim=-1)[:, :2]
    expected = [(nearest == i).any(dim=-1).double().mean().item() for i in range(NUM_PROMPTS)]
    assert [counts[i] / draws for i in range(NUM_PROMPTS)] == pytest.approx(expected, abs=0.035)
    assert expected[1] > 0.5 > 0.1 > expected[0]


def test_options_are_those_of_the_command_and_what_is_implied_wrongly_counts_less_for_good() -> None:
    selector = selector_named("bots", bots_lambda=0.5, bots_rho=0.4)
    selector.select(candidates_of(range(2)), 2, 0.0)
    selector.observe([outcome(0, 8), outcome(1, 0)])  # implied: 0.5 for both, or nearly
    selector.observe([outcome(99, 3)])  # not chosen here
    assert selector.metrics()["prepo/bots_rho"] == 0.2
    assert selector.posteriors[0] == pytest.approx((9.0, 1.0, 1))


def test_prompts_without_reference_rates_are_refused_by_row() -> None:
    without = [Candidate(replace(make_prompt(row), reference_rates=None)) for row in (4, 9)]
    with pytest.raises(ValueError, match=r"rows \[4, 9\] have no reference pass rates"):
        BotsSelector(0.2, 0.2, seed=0).select([*candidates_of([1]), *without], 1, 0.0)


def test_needs_no_scores_and_resumes() -> None:
    assert not BotsSelector.needs_scores
    assert_resumes(lambda seed: BotsSelector(0.2, 0.2, seed))
