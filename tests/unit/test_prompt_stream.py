"""The prompt stream: what reaches rollout, in which order, and after a resume."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import pytest
import torch
from tiny_candidates import make_prompt
from tiny_streams import selector_named

from prepo_rlhf.selection import Candidate, PromptOutcome, PromptStream, Selection

DATASET = [make_prompt(i) for i in range(23)]


class Scorer:
    """Perplexity 1 + index, and a record of what was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.seconds = seconds

    def __call__(self, candidates: list[Candidate]) -> list[float]:
        self.batches.append([c.row for c in candidates])
        time.sleep(self.seconds)
        return [1.0 + c.row for c in candidates]


def make_stream(selector: str = "prepo", score: Scorer | None = None, **changes: Any) -> PromptStream:
    options = {"num_candidates": 5, "num_selected": 2, "num_episodes": 2, "seed": 7} | changes
    dataset = options.pop("dataset", DATASET)
    return PromptStream(dataset, selector_named(selector, seed=7), score=score or Scorer(), **options)


def all_draws(stream: PromptStream) -> list[Selection]:
    return list(iter(stream.draw, None))


def indices(selections: list[Selection]) -> list[list[int]]:
    return [[c.row for c in s.selected] for s in selections]


def test_a_run_draws_whole_batches_of_every_episode() -> None:
    scorer = Scorer()
    stream = make_stream(score=scorer)
    draws = all_draws(stream)
    assert stream.total_draws == len(draws) == 8
    assert [d.draw for d in draws] == list(range(8))
    assert draws[0].progress == 0.0 and draws[-1].progress == 1.0
    for episode in (scorer.batches[:4], scorer.batches[4:]):
        seen = [i for batch in episode for i in batch]
        assert len(seen) == len(set(seen)) == 20
    assert scorer.batches[:4] != scorer.batches[4:]
    assert stream.draw() is None


def test_each_draw_is_the_window_of_its_own_candidates() -> None:
    scorer = Scorer()
    draws = all_draws(make_stream(score=scorer))
    for draw, batch in zip(draws, scorer.batches, strict=True):
        start = math.floor(draw.metrics["prepo/progress"] * 3)
        assert draw.metrics["prepo/window_start"] == start
        assert [c.row for c in draw.selected] == sorted(batch)[start : start + 2]
        assert [c.perplexity for c in draw.selected] == [1.0 + c.row for c in draw.selected]
        assert draw.metrics["prepo/ppl_selected_max"] == draw.selected[-1].perplexity


def test_the_seed_alone_decides_the_shuffle() -> None:
    assert indices(all_draws(make_stream())) == indices(all_draws(make_stream()))
    assert indices(all_draws(make_stream())) != indices(all_draws(make_stream(seed=8)))


@pytest.mark.parametrize("selector", ["prepo", "random", "calibrated"])
def test_more_of_a_draw_are_those_left_and_a_resumed_stream_goes_on_after_them(selector: str) -> None:
    scorer = Scorer()
    stream = make_stream(selector, scorer)
    first = stream.draw()
    more = [stream.draw_more(count) for count in (0, 1, 2)]
    assert list(map(len, more)) == [0, 1, 2]
    rows = [c.row for part in (first.selected, *more) for c in part]
    assert len(set(rows)) == 5 and len(scorer.batches) == (selector != "random")  # each once, and none scored again
    assert all(set(rows) == set(batch) for batch in scorer.batches)
    assert all(c.perplexity == (None if selector == "random" else 1.0 + c.row) for part in more for c in part)
    resumed = make_stream(selector)
    resumed.load_state_dict(stream.state_dict())
    assert indices(all_draws(resumed)) == indices(all_draws(stream))


def test_random_is_never_scored() -> None:
    scorer = Scorer()
    draws = all_draws(make_stream("random", scorer))
    assert scorer.batches == []
    assert all(set(d.metrics) == {"prepo/progress", "timing/score_prompts"} for d in draws)
    assert all(c.perplexity is None for d in draws for c in d.selected)


def test_scoring_time_is_in_the_metrics() -> None:
    assert make_stream(score=Scorer(seconds=0.02)).draw().metrics["timing/score_prompts"] >= 0.02


@pytest.mark.parametrize("selector", ["prepo", "random"])
@pytest.mark.parametrize("stop", [0, 3, 4, 7, 8])
def test_a_resumed_run_sees_what_the_unbroken_one_sees(selector: str, stop: int) -> None:
    """Through torch.save, as checkpoints go; stops include both sides of the episode's end and the run's."""
    unbroken = all_draws(make_stream(selector))
    stopped = make_stream(selector)
    for _ in range(stop):
        stopped.draw()
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = make_stream(selector)
    for _ in range(2):
        resumed.draw()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    rest = all_draws(resumed)
    assert indices(rest) == indices(unbroken[stop:])
    assert [d.progress for d in rest] == [d.progress for d in unbroken[stop:]]


def test_a_failed_scoring_does_not_use_up_the_draw() -> None:
    def fail(candidates: list[Candidate]) -> list[float]:
        raise RuntimeError("engine died")

    stream = make_stream(score=fail)
    with pytest.raises(RuntimeError, match="engine died"):
        stream.draw()
    assert stream.state_dict()["draw"] == 0


def test_a_scorer_that_forgets_prompts_is_an_error() -> None:
    with pytest.raises(ValueError):
        make_stream(score=lambda candidates: [1.0]).draw()


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"num_candidates": 6}, "--prepo.candidate_batch_size"),
        ({"num_selected": 3}, "--rollout.batch_size"),
        ({"seed": 8}, "--train.seed"),
        ({"dataset": DATASET[:-1]}, "--data.prompt_dataset"),
    ],
)
def test_a_checkpoint_of_other_options_is_refused_by_name(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(ValueError, match=option):
        make_stream(**changes).load_state_dict(make_stream().state_dict())


@pytest.mark.parametrize(("num_episodes", "left"), [(3, 7), (2, 3), (1, 0)])
def test_a_checkpoint_goes_on_for_more_episodes_or_fewer(num_episodes: int, left: int) -> None:
    """Over the same candidates; the window follows the new length."""
    begun, resumed = make_stream(), make_stream(num_episodes=num_episodes)
    for _ in range(5):
        begun.draw()
    resumed.load_state_dict(begun.state_dict())
    assert resumed.exhausted == (left == 0)
    rest, anew = all_draws(resumed), all_draws(make_stream(num_episodes=num_episodes))
    assert len(rest) == left and indices(rest) == indices(anew[5:])
    assert [d.progress for d in rest] == [d.progress for d in anew[5:]]


def test_refuses_sizes_without_a_draw_and_scores_without_a_scorer() -> None:
    with pytest.raises(ValueError, match=r"--prepo.candidate_batch_size 1 .* --rollout.batch_size 2"):
        make_stream(num_candidates=1)
    with pytest.raises(ValueError, match="more than the 23 prompts"):
        make_stream(num_candidates=24)
    with pytest.raises(ValueError, match="no function to score"):
        PromptStream(DATASET, selector_named("prepo"), 5, 2, 1, 0)
    with pytest.raises(ValueError, match="no function that gives those of prompts"):
        PromptStream(DATASET, selector_named("hive"), 5, 2, 1, 0, score=Scorer())


def test_entropies_are_computed_for_the_selectors_that_need_them_alone() -> None:
    score, entropies = Scorer(), Scorer(seconds=0.02)
    draw = make_stream("hive", score, entropies=entropies).draw()
    assert not score.batches and len(entropies.batches[0]) == 5 and draw.metrics["timing/score_prompts"] >= 0.02
    assert all(c.entropy == 1.0 + c.row and c.perplexity is None for c in draw.selected)
    assert "prepo/hive_passed_both" in draw.metrics and "prepo/ppl_selected_mean" not in draw.metrics
    draw = make_stream("prepo", score, entropies=entropies).draw()
    assert score.batches == entropies.batches and all(c.entropy is None for c in draw.selected)


def outcomes_of(draw: Selection) -> list[PromptOutcome]:
    return [PromptOutcome(c.row, (float(c.row % 2), 0.0), c.perplexity) for c in draw.selected]


@pytest.mark.parametrize("selector", ["random", "mopps", "greso", "calibrated"])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_a_state_brought_up_to_date_knows_all_outcomes_and_no_later_draw(selector: str, ahead: int) -> None:
    """Draws run `ahead` of the outcomes; twins that are never ahead of what they resume with draw the same."""
    stream, states, draws = make_stream(selector), [], []
    for step in range(5):
        while len(draws) <= step + ahead and not stream.exhausted:
            draws.append(stream.draw())
            states.append(stream.state_dict())
        stream.observe(outcomes_of(draws[step]))
        saved = io.BytesIO()
        torch.save(stream.up_to_date(states[step]), saved)
        resumed, twin = make_stream(selector), make_stream(selector)
        resumed.load_state_dict(torch.load(io.BytesIO(saved.getvalue()), weights_only=False))
        # In the run the draws up to this step have seen outcomes in this order:
        for done in range(step + 1):
            for observed in range(max(0, done - ahead - 1), max(0, done - ahead)):
                twin.observe(outcomes_of(draws[observed]))
            assert indices([twin.draw()]) == indices([draws[done]])
        for observed in range(max(0, step - ahead), step + 1):
            twin.observe(outcomes_of(draws[observed]))
        rest = all_draws(resumed)
        assert indices(rest) == indices(all_draws(twin))
        assert [d.draw for d in rest] == list(range(step + 1, 8))
