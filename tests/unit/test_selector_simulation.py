"""What selection that learns gains over random choice in a simulated run, and that it does no harm without a signal.

Numbers are shares of the oracle's gain: 0 is random choice, 1 the true pass rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import mean

import pytest
from selector_simulation import OracleSelector, Population, informativeness

from prepo_rlhf.selection import PromptOutcome, PromptSelector
from prepo_rlhf.selection.calibrated import CalibratedSelector
from prepo_rlhf.selection.dps import DpsSelector
from prepo_rlhf.selection.kgps import KgpsSelector
from prepo_rlhf.selection.mopps import MoppsSelector
from prepo_rlhf.selection.ppl_feedback import PplFeedbackSelector
from prepo_rlhf.selection.random_k import RandomKSelector

SEEDS = (0, 1, 2)
RELATED, UNRELATED, REVERSED = (0.55, 0.5), (0.0, 0.0), (-0.55, 0.0)


@cache
def chance_and_best(correlations: tuple[float, float], seed: int) -> tuple[float, float]:
    population = Population(seed, *correlations)
    return (
        informativeness(RandomKSelector(seed), population, seed),
        informativeness(OracleSelector(population), population, seed),
    )


def gain(make: Callable[[int], PromptSelector], correlations: tuple[float, float], seed: int, delay: int = 0) -> float:
    chance, best = chance_and_best(correlations, seed)
    return (informativeness(make(seed), Population(seed, *correlations), seed, delay) - chance) / (best - chance)


@pytest.mark.parametrize(
    ("make", "correlations", "least"),
    [
        (CalibratedSelector, RELATED, 0.1),
        (CalibratedSelector, REVERSED, 0.08),
        (CalibratedSelector, UNRELATED, 0.03),  # from the prompts' own history
        (PplFeedbackSelector, RELATED, 0.04),
        (PplFeedbackSelector, REVERSED, 0.03),
        (PplFeedbackSelector, UNRELATED, -0.05),
        (MoppsSelector, UNRELATED, 0.0),
        (lambda seed: DpsSelector(0.7), UNRELATED, 0.05),
        (lambda seed: KgpsSelector(), UNRELATED, 0.05),
    ],
)
def test_gain_over_random_choice_in_every_seed(
    make: Callable[[int], PromptSelector], correlations: tuple[float, float], least: float
) -> None:
    assert min(gain(make, correlations, seed) for seed in SEEDS) > least


@pytest.mark.parametrize(("make", "least"), [(CalibratedSelector, 0.1), (PplFeedbackSelector, 0.04)])
def test_outcomes_two_steps_late_cost_little(make: Callable[[int], PromptSelector], least: float) -> None:
    assert mean(gain(make, RELATED, seed, delay=2) for seed in SEEDS) > least


def test_calibrated_selection_reports_small_errors() -> None:
    """The error has a floor: 8 rollouts leave about 0.14 of it where the pass rate is near 1/2, as those chosen are."""
    errors = []

    class Recording(CalibratedSelector):
        def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
            super().observe(outcomes)
            errors.append(self.metrics()["prepo/calibration_error"])

    informativeness(Recording(seed=0), Population(0, *RELATED), seed=0)
    assert mean(errors[60:]) < 0.27 < mean(errors[:5])
