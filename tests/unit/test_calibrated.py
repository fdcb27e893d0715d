"""The calibrated selector: what it learns, whom it takes, what it reports, resume."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome, replay
from tiny_candidates import make_candidate
from tiny_streams import selector_named

from prepo_rlhf.selection import Candidate
from prepo_rlhf.selection.calibrated import CalibratedSelector
from prepo_rlhf.selection.pass_rate_model import Coefficients, Offsets, laplace_update


def tensor(values: list[Any]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def graded(n: int, offset: int = 0) -> list[Candidate]:
    """Candidates in ascending perplexity."""
    return [make_candidate(offset + i, 20, perplexity=1.0 + i / 10) for i in range(n)]


def right_of(i: int, n: int) -> int:
    """Low perplexities are all right, high ones all wrong, the middle one half."""
    return round(8 * min(max(1.5 - 2 * i / (n - 1), 0.0), 1.0))


def trained(steps: int = 40) -> CalibratedSelector:
    """One that has seen new prompts of `right_of` in every step."""
    selector = CalibratedSelector(seed=0)
    for step in range(steps):
        chosen = selector.select(graded(41, offset=100 * step), 16, step / steps)
        selector.observe([outcome(100 * step + i, right_of(i, 41)) for i in chosen])
    return selector


def test_steps_by_hand() -> None:
    """Features, offsets, ranking and update written out, over three steps in which prompts come again."""
    selector, offsets = CalibratedSelector(seed=0), {}
    for step in range(3):
        candidates = candidates_of(range(10 * step, 10 * step + 20))
        columns = []
        for values in ([math.log(c.perplexity) for c in candidates], [math.log(1 + c.num_tokens) for c in candidates]):
            columns.append([(value - fmean(values)) / pstdev(values) for value in values])
        x = tensor([[1.0, ppl, length] for ppl, length in zip(*columns, strict=True)])
        m = tensor([0.9 * offsets[c.row][0] if c.row in offsets else 0.0 for c in candidates])
        v = tensor([0.81 * offsets.get(c.row, (0, 2.25))[1] + 0.19 * 2.25 for c in candidates])
        state = selector.state_dict()
        coefficients = Coefficients(state["mean"], state["precision"])
        generator = torch.Generator()
        generator.set_state(state["generator"])
        usefulness = [0.0] * 20
        for _ in range(4):
            w, e = coefficients.sample(generator), torch.randn(20, dtype=torch.float64, generator=generator)
            for i in range(20):
                p = 1 / (1 + math.exp(-(x[i] @ w + m[i] + math.sqrt(v[i]) * e[i]).item()))
                usefulness[i] += p * (1 - p) / 4
        chosen = selector.select(candidates, 8, step / 3)
        assert chosen == sorted(range(20), key=lambda i: -usefulness[i])[:8]
        rights = [c % 9 for c in chosen]
        selector.observe([outcome(candidates[c].row, right) for c, right in zip(chosen, rights, strict=True)])
        discounted = 0.95 * state["precision"] + 0.05 * torch.eye(3, dtype=torch.float64) / 4
        prior, own = Coefficients(state["mean"], discounted), Offsets(m[chosen], v[chosen])
        coefficients, own = laplace_update(prior, own, x[chosen], tensor(rights), torch.full((8,), 8.0).double())
        assert torch.allclose(selector.state_dict()["mean"], coefficients.mean)
        assert torch.allclose(selector.state_dict()["precision"], coefficients.precision)
        moments = zip(own.mean.tolist(), own.variance.tolist(), strict=True)
        offsets |= dict(zip((candidates[c].row for c in chosen), moments, strict=True))
        assert {i: pytest.approx(moment) for i, moment in offsets.items()} == selector.state_dict()["offsets"]


def test_those_near_one_half_are_taken_more_often() -> None:
    """Of prompts never seen: those whose looks are those of half-solved ones."""
    selector, counts = trained(), Counter()
    for step in range(200):
        counts.update(selector.select(graded(41, offset=10_000 + 100 * step), 16, 1.0))
    middle, ends = range(16, 25), (*range(5), *range(36, 41))
    assert fmean(counts[i] for i in middle) > 2 * fmean(counts[i] for i in ends) > 0


def test_predictions_are_calibrated_and_reported_before_the_rewards() -> None:
    selector = trained()
    chosen = selector.select(graded(41, offset=10_000), 41, 1.0)
    rates = [right_of(i, 41) / 8 for i in chosen]
    assert selector.metrics()["prepo/predicted_pass_rate"] == pytest.approx(sum(rates) / 41, abs=0.05)
    selector.observe([outcome(10_000 + i, right_of(i, 41)) for i in chosen])
    assert selector.metrics()["prepo/calibration_error"] < 0.12
    fresh = CalibratedSelector(seed=0)
    chosen = fresh.select(graded(41), 41, 1.0)
    assert fresh.metrics() == {"prepo/predicted_pass_rate": pytest.approx(0.5)}
    fresh.observe([outcome(i, right_of(i, 41)) for i in chosen])
    assert fresh.metrics()["prepo/calibration_error"] == pytest.approx(sum(abs(0.5 - r) for r in rates) / 41)


def test_it_predicts_the_moments_of_what_it_samples() -> None:
    """Of prompts seen and not seen: against draws of coefficients and offsets, as `select` makes them."""
    selector = trained()
    candidates = graded(41, offset=3880)
    assert 0 < sum(c.row in selector.offsets for c in candidates) < 41
    features, offsets = selector._features_of(candidates), selector._offsets_now([c.row for c in candidates])
    draws = torch.stack([selector._sample(features, offsets) for _ in range(20_000)])
    mean, variance = tensor(selector.predict(candidates)).unbind(-1)
    assert torch.allclose(mean, draws.mean(0), atol=0.02) and torch.allclose(variance, draws.var(0), atol=0.01)


def test_a_prompt_is_known_by_its_own_rewards() -> None:
    """All look alike: what was half right comes again most often, and the rest is not given up."""
    selector = CalibratedSelector(seed=0)
    alike = [make_candidate(i, 20, perplexity=2.0) for i in range(60)]
    selector.select(alike, 60, 0.0)
    selector.observe([outcome(i, (4, 0, 8)[i % 3]) for i in range(60)])
    counts = Counter(i % 3 for _ in range(200) for i in selector.select(alike, 16, 0.0))
    assert counts[0] > 0.9 * counts.total() and min(counts[1], counts[2]) > 0.01 * counts.total()


@pytest.mark.parametrize("variance", [0.25, 2.25, 9.0])
def test_frequencies_are_those_of_the_posterior(variance: float) -> None:
    """Two that look alike and are expected at 1/2, one of them never seen: a mean of p (1 - p) over four draws against
    another, simulated."""
    selector, now = CalibratedSelector(seed=0), 0.81 * variance + 0.19 * 2.25
    sure = {"mean": torch.zeros(3, dtype=torch.float64), "precision": 1e12 * torch.eye(3, dtype=torch.float64)}
    selector.load_state_dict(selector.state_dict() | sure | {"offsets": {0: (0.0, variance)}})
    alike = [make_candidate(i, 20, perplexity=2.0) for i in range(2)]
    first = fmean(selector.select(alike, 1, 0.0) == [0] for _ in range(4000))
    logits = torch.randn(100_000, 4, 2, generator=torch.Generator().manual_seed(1)) * tensor([now, 2.25]).sqrt()
    usefulness = (torch.sigmoid(logits) * torch.sigmoid(-logits)).mean(dim=1)
    assert first == pytest.approx((usefulness[:, 0] > usefulness[:, 1]).double().mean().item(), abs=0.03)


def test_the_variance_of_the_coefficients_never_exceeds_the_priors() -> None:
    selector = CalibratedSelector(seed=0)
    for step in range(300):
        selector.select(graded(4, offset=step), 1, step / 300)
        selector.observe([outcome(step, 8)])
        covariance = torch.linalg.inv(selector.state_dict()["precision"])
        assert torch.linalg.eigvalsh(covariance).max() <= 4.0 + 1e-9
    assert selector.state_dict()["mean"].isfinite().all()


def test_outcomes_may_come_after_later_selections_and_count_once() -> None:
    """Each with the features of its own selection, which moved with the candidates beside it."""
    late, punctual = CalibratedSelector(seed=0), CalibratedSelector(seed=0)
    late.select(graded(9), 9, 0.0)
    late.select(graded(9, offset=100), 9, 1.0)
    late.observe([outcome(i, i) for i in range(9)])
    punctual.select(graded(9), 9, 0.0)
    punctual.observe([outcome(i, i) for i in range(9)])
    assert torch.equal(late.state_dict()["mean"], punctual.state_dict()["mean"])
    before = late.state_dict()
    late.observe([outcome(0, 4), outcome(77, 4)])  # learnt already; never selected
    assert torch.equal(late.state_dict()["precision"], before["precision"])
    assert late.state_dict()["offsets"] == before["offsets"]
    assert set(late.state_dict()["pending"]) == set(range(100, 109))


def test_a_drift_of_all_perplexities_changes_nothing() -> None:
    first, second = trained(), trained()
    moved = [replace(c, perplexity=3 * c.perplexity) for c in graded(41)]
    assert first.select(graded(41), 16, 1.0) == second.select(moved, 16, 1.0)


@given(
    ppl=st.lists(st.sampled_from([1.0, 2.0, 1e30]), min_size=1, max_size=23), rho=st.floats(0.0, 1.0), data=st.data()
)
def test_k_distinct_candidates_whatever_the_ties_and_outliers(
    ppl: list[float], rho: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(ppl)))
    candidates = [replace(c, perplexity=p) for c, p in zip(graded(len(ppl)), ppl, strict=True)]
    selector = CalibratedSelector(seed=0)
    for _ in range(2):
        chosen = selector.select(candidates, k, rho)
        assert len(set(chosen)) == k and set(chosen) <= set(range(len(ppl)))
        selector.observe([outcome(i, 8 * (i % 2)) for i in chosen])


def test_refusals() -> None:
    assert CalibratedSelector.needs_scores
    with pytest.raises(ValueError, match="cannot select 5 of 4 candidates"):
        CalibratedSelector(seed=0).select(graded(4), 5, 0.0)
    with pytest.raises(ValueError, match="no perplexity"):
        CalibratedSelector(seed=0).select([make_candidate(0)], 1, 0.0)
    for broken in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            CalibratedSelector(seed=0).select([replace(candidates_of([0])[0], perplexity=broken)], 1, 0.0)


def test_resumes() -> None:
    assert_resumes(CalibratedSelector)


USES = {
    "all": {"perplexity", "length", "history"},
    "no-perplexity": {"length", "history"},
    "no-length": {"perplexity", "history"},
    "no-history": {"perplexity", "length"},
    "perplexity": {"perplexity"},
    "length": {"length"},
    "history": {"history"},
    "and-entropy": {"perplexity", "length", "history", "entropy"},
    "entropy-for-perplexity": {"length", "history", "entropy"},
}


def test_the_default_chooses_as_it_did_before_signals_could_be_left_out() -> None:
    """Choices of the selector as it was when docs/results/selectors.md was measured."""
    record = replay(selector_named("calibrated", seed=1), range(12))
    assert [rows for rows, _ in record[:2] + record[10:]] == [
        [25, 54, 8, 19, 24, 18], [9, 51, 53, 34, 21, 45], [25, 41, 50, 9, 59, 18], [36, 27, 6, 55, 22, 13],
    ]  # fmt: skip


@pytest.mark.parametrize("uses", USES)
def test_signals_left_out_change_nothing(uses: str) -> None:
    """Two runs that differ in the signals left out alone make the same choices; in one that is used, others."""
    signals = USES[uses]
    changed = {
        "perplexity": lambda c: replace(c, perplexity=20 - c.perplexity),
        "length": lambda c: replace(c, prompt=make_candidate(c.row, 40 - c.num_tokens).prompt),
        "history": lambda c: replace(c, prompt=make_candidate(c.row % 20 + 1000, c.num_tokens).prompt),
    }
    changed["entropy"] = lambda c: replace(c, entropy=2 - c.entropy)
    plain = choices(uses, lambda c: c)
    for name, change in changed.items():
        assert (choices(uses, change) == plain) == (name not in signals), name


def choices(uses: str, change: Any) -> list[list[int]]:
    """Positions chosen in 6 epochs of two steps over 40 prompts, whose rewards go by position."""
    selector, record = selector_named("calibrated", calibrated_uses=uses), []
    assert selector.needs_scores == ("perplexity" in USES[uses])
    assert selector.needs_entropies == ("entropy" in USES[uses])
    for step in range(12):
        candidates = [change(c) for c in candidates_of(range(20 * (step % 2), 20 * (step % 2) + 20))]
        chosen = selector.select(candidates, 8, 0.0)
        selector.observe([outcome(candidates[i].row, (3 * i + step % 2) % 9) for i in chosen])
        record.append(chosen)
    return record


def test_measured_memory_by_hand() -> None:
    """A prompt whose rewards turn after three steps: how far it moved is forgotten, of w and of its offset."""
    selector = selector_named("calibrated", calibrated_memory="measured")
    for rights in ({0: 8, 1: 4}, {1: 4}, {2: 4}):
        selector.pending = {row: [1.0, 0.0, 0.0] for row in rights}
        selector.observe([outcome(row, right) for row, right in rights.items()])
    mean, variance = selector.offsets[0]
    assert selector._offsets_now([0]).variance.item() == variance  # prompt 1 has not moved, so nothing is forgotten
    precision = selector.precision
    selector.pending = {0: [1.0, 0.0, 0.0]}
    selector.observe([outcome(0, 5)])

    logit, r = math.log(17), 18**2 / (8 * 17)
    change, other_r = abs(math.log(11 / 7) - logit), 18**2 / (8 * 11 * 7)
    q = 0.1 * max(0.0, math.pi / 2 * change**2 - r - other_r) / 3  # 0.9 of the 0 that prompt 1 said
    assert q > 0.01
    prior = Coefficients(torch.zeros(3), precision).discounted(1 - q / 2.25, torch.eye(3) / 4).precision
    assert selector.precision[0, 1:].tolist() == pytest.approx(prior[0, 1:].tolist())
    assert selector.precision[1, 1].item() == pytest.approx(prior[1, 1].item())
    share = 1 - q / 2.25
    now = selector._offsets_now([0])
    after_mean, after_variance = selector.offsets[0]
    assert now.mean.item() == pytest.approx(math.sqrt(share) * after_mean)
    assert now.variance.item() == pytest.approx(share * after_variance + (1 - share) * 2.25)
    assert_resumes(lambda seed: selector_named("calibrated", seed, calibrated_memory="measured"))


@pytest.mark.parametrize("uses", USES)
def test_every_choice_of_signals_resumes(uses: str) -> None:
    assert_resumes(lambda seed: selector_named("calibrated", seed, calibrated_uses=uses))
