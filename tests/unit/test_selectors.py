"""The selectors: who is chosen, what they report, what they remember."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_candidates import make_candidate, make_prompt
from tiny_streams import selector_named

from prepo_rlhf.algorithm.ppl_window import PACINGS
from prepo_rlhf.config import ConfigError, from_dict
from prepo_rlhf.config.selectors import PREDICTING, SCORED, WITH_ENTROPIES
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection import (
    SELECTORS,
    Candidate,
    PromptOutcome,
    PromptSelector,
    PromptStream,
    make_selector,
    perplexity_metrics,
    registry,
)


def candidates_with(perplexities: list[float]) -> list[Candidate]:
    return [make_candidate(100 + i, perplexity=p, entropy=-p) for i, p in enumerate(perplexities)]


CANDIDATES = candidates_with([5.0, 1.0, 4.0, 2.0, 3.0])
OF_FIXED_SIZE = [name for name in SELECTORS if not selector_named(name).drops_zero_variance]


@pytest.mark.parametrize("name", [*SELECTORS, "feedback"])
@given(perplexities=st.lists(st.floats(1.0, 100.0), min_size=1, max_size=30), rho=st.floats(0.0, 1.0), data=st.data())
def test_every_selector_picks_distinct_candidates_and_k_of_them_if_it_drops_none(
    name: str, perplexities: list[float], rho: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(perplexities)))
    selector = selector_named("prepo", pacing="feedback") if name == "feedback" else selector_named(name)
    chosen = selector.select(candidates_with(perplexities), k, rho)
    assert len(chosen) == len(set(chosen))
    assert len(chosen) == k or selector.drops_zero_variance
    assert set(chosen) <= set(range(len(perplexities)))


@pytest.mark.parametrize(
    ("name", "rho", "chosen", "start"),
    [
        ("prepo", 0.0, [1, 3], 0),
        ("prepo", 0.5, [3, 4], 1),
        ("prepo", 1.0, [2, 0], 3),
        ("low-ppl", 1.0, [1, 3], 0),
        ("high-ppl", 0.0, [2, 0], 3),
    ],
)
def test_windows_and_the_start_they_report(name: str, rho: float, chosen: list[int], start: int) -> None:
    selector = selector_named(name)
    assert selector.needs_scores
    assert selector.select(CANDIDATES, 2, rho) == chosen
    assert selector.metrics() == {"prepo/window_start": start}


@pytest.mark.parametrize(("pacing", "start"), [("linear", 20), ("sqrt", 40), ("quadratic", 5)])
def test_pacing_moves_the_window(pacing: str, start: int) -> None:
    """Of 82 candidates and K = 2, a quarter of the way; every pacing begins at the low end and ends at the high one."""
    candidates = candidates_with([float(p) for p in range(82)])
    selector = selector_named("prepo", pacing=pacing)
    assert selector.select(candidates, 2, 0.25) == [start, start + 1]
    assert selector.metrics() == {"prepo/window_start": start}
    assert [selector.select(candidates, 2, rho)[0] for rho in (0.0, 1.0)] == [0, 80]


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), rho=st.floats(0.0, 1.0), data=st.data())
def test_length_runs_from_long_to_short_prompts_without_scores(
    lengths: list[int], rho: float, data: st.DataObject
) -> None:
    k, pacing = data.draw(st.integers(1, len(lengths))), data.draw(st.sampled_from(list(PACINGS)))
    selector = selector_named("length", pacing=pacing)
    position = {"linear": rho, "sqrt": math.sqrt(rho), "quadratic": rho * rho}[pacing]
    long_to_short = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = math.floor(position * (len(lengths) - k))
    assert not selector.needs_scores
    candidates = [make_candidate(i, num_tokens) for i, num_tokens in enumerate(lengths)]
    assert selector.select(candidates, k, rho) == long_to_short[start : start + k]
    assert selector.metrics() == {"prepo/window_start": start}


def test_pacing_by_feedback_is_a_selector_of_its_own() -> None:
    selector = selector_named("prepo", pacing="feedback")
    assert selector.needs_scores
    selector.select(CANDIDATES, 2, 0.0)
    assert "prepo/window_start" not in selector.metrics() and selector.metrics()


def test_random_needs_no_scores_follows_its_seed_and_resumes() -> None:
    unscored = [replace(c, perplexity=None) for c in CANDIDATES]
    first, second, other = (selector_named("random", seed) for seed in (1, 1, 2))
    assert not first.needs_scores
    picks = [first.select(unscored, 2, 0.0) for _ in range(20)]
    torch.manual_seed(99)  # the global random state is neither read ...
    before = torch.get_rng_state()
    assert [second.select(unscored, 2, 0.9) for _ in range(20)] == picks
    assert torch.equal(before, torch.get_rng_state())  # ... nor changed
    assert [other.select(unscored, 2, 0.0) for _ in range(20)] != picks
    other.load_state_dict(first.state_dict())
    assert [other.select(unscored, 2, 0.0) for _ in range(20)] == [first.select(unscored, 2, 0.0) for _ in range(20)]


def test_random_is_uniform() -> None:
    selector = selector_named("random")
    draws = 4000
    counts = Counter(i for _ in range(draws) for i in selector.select(CANDIDATES, 2, 0.0))
    spread = math.sqrt(draws * 0.4 * 0.6)
    assert all(abs(counts[i] - draws * 0.4) < 5 * spread for i in range(5))


@pytest.mark.parametrize("name", OF_FIXED_SIZE)
def test_refuses_more_than_there_is(name: str) -> None:
    with pytest.raises(ValueError, match="cannot select 6 of 5"):
        selector_named(name).select(CANDIDATES, 6, 0.0)


def test_a_scored_selector_refuses_unscored_candidates_by_index() -> None:
    with pytest.raises(ValueError, match=r"\[101\]"):
        selector_named("prepo").select([CANDIDATES[0], replace(CANDIDATES[1], perplexity=None)], 1, 0.0)


@pytest.mark.parametrize("name", SELECTORS)
def test_outcomes_may_be_reported_to_any_selector(name: str) -> None:
    selector = selector_named(name)
    selector.observe([PromptOutcome(row=100, rewards=(0.0, 1.0))])
    assert selector.metrics() == {}


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match="prepo, low-ppl, high-ppl, random"):
        make_selector(PrepoOptions(selector="best"), seed=0)


def test_one_that_drops_groups_is_refused_beside_pilots() -> None:
    with pytest.raises(ConfigError, match="--prepo.allocation pilot keeps the groups that --prepo.selector greso"):
        make_selector(PrepoOptions(selector="greso", allocation="pilot"), seed=0)


def test_perplexity_metrics() -> None:
    candidates = candidates_with([float(p) for p in range(11)])
    assert perplexity_metrics(candidates, candidates[2:5]) == pytest.approx(
        {
            "prepo/ppl_candidates_p10": 1.0,
            "prepo/ppl_candidates_p50": 5.0,
            "prepo/ppl_candidates_p90": 9.0,
            "prepo/ppl_selected_min": 2.0,
            "prepo/ppl_selected_mean": 3.0,
            "prepo/ppl_selected_max": 4.0,
        }
    )
    assert set(perplexity_metrics(candidates, [])) == {f"prepo/ppl_candidates_{p}" for p in ("p10", "p50", "p90")}


@pytest.mark.parametrize("name", [*SELECTORS, "own.py:Mine", "/some/where/half_solved.py:HalfSolved"])
def test_the_option_takes_every_name_and_a_class_in_a_file(name: str) -> None:
    assert from_dict({"prepo": {"selector": name}}).prepo.selector == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("best", f"must be one of {', '.join(SELECTORS)}, or a class of your own, path/to/file.py:Class, got 'best'"),
        ("calibratd", "(did you mean calibrated?), got 'calibratd'"),
        *((wrong, f"got '{wrong}'") for wrong in ("own.py", "own.py:", "own:Mine", "own.py:a class", ":Mine", "")),
    ],
)
def test_another_name_is_refused_with_those_that_there_are(name: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_dict({"prepo": {"selector": name}})
    assert str(refused.value).startswith("--prepo.selector: ") and told in str(refused.value)


def test_a_plan_counts_scoring_where_the_class_asks_for_it() -> None:
    assert {name for name in SELECTORS if selector_named(name).needs_scores} == set(SCORED)
    assert {name for name in SELECTORS if selector_named(name).needs_entropies} == set(WITH_ENTROPIES)
    every_use = get_args(get_type_hints(PrepoOptions)["calibrated_uses"])
    for options in (
        *(PrepoOptions(selector=name) for name in SELECTORS),
        *(PrepoOptions(selector="calibrated", calibrated_uses=uses) for uses in every_use),
    ):
        selector = make_selector(options, seed=0)
        asked = options.needs_perplexities, options.needs_entropies
        assert asked == (selector.needs_scores, selector.needs_entropies)


def test_the_names_of_those_that_predict_are_those_whose_class_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name in SELECTORS if selector_named(name).predicts} == set(PREDICTING)
    monkeypatch.setattr(registry, "PREDICTING", (*PREDICTING, "random"))
    with pytest.raises(ConfigError, match="--prepo.selector random: PREDICTING has its name"):
        selector_named("random")


@pytest.mark.parametrize("name", PREDICTING)
def test_what_is_predicted_comes_with_the_selected_and_changes_nothing(name: str) -> None:
    """Half before anything is observed; the choices are those of a twin whose predictions nobody asks for."""
    prompts = [make_prompt(row, num_tokens=row) for row in range(24)]

    def stream_of(selector: PromptSelector) -> PromptStream:
        return PromptStream(prompts, selector, 12, 9, 2, seed=0, score=lambda some: [1.5 + c.row for c in some])

    stream, twin = stream_of(selector_named(name)), stream_of(selector_named(name))
    twin.selector.predicts = False
    predictions = []
    for _ in range(4):
        selected = stream.draw().selected
        candidates = [replace(c, prediction=None) for c in selected]
        assert candidates == twin.draw().selected
        predictions += [c.prediction for c in selected]
        for each in (stream, twin):
            each.observe([PromptOutcome(c.row, (float(c.row % 2),) * 8) for c in candidates])
    assert all(0 < p.mean < 1 and 0 < p.variance < p.mean * (1 - p.mean) for p in predictions)
    assert predictions[0].mean == pytest.approx(0.5) and len(set(predictions)) > 1
