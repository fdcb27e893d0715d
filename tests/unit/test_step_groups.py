"""What a step is made of: which groups are kept, how many prompts are in rollout, when the next window is drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_candidates import make_prompt
from tiny_streams import selector_named

from prepo_rlhf.config.training import AlgoOptions
from prepo_rlhf.rollout.step_groups import StepGroups, collect_groups, keeps
from prepo_rlhf.selection import Candidate, PromptSelector, PromptStream

DATASET = [make_prompt(i) for i in range(40)]
VARIED, EQUAL = (0.0, 1.0), (1.0, 1.0)


class Everything(PromptSelector):
    """All candidates in their order, so many of them in rollout beyond those missing; some windows give none."""

    drops_zero_variance = True

    def __init__(self, beyond: int = 0, empty_windows: int = 0) -> None:
        self.beyond, self.empty_windows = beyond, empty_windows

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        self.empty_windows -= 1
        return [] if self.empty_windows >= 0 else list(range(len(candidates)))

    def rollout_batch(self, missing: int, k: int) -> int:
        return missing + self.beyond


def score(candidates: list[Candidate]) -> list[float]:
    time.sleep(0.01)
    return [1.0 + c.row for c in candidates]


def stream_of(selector: PromptSelector) -> PromptStream:
    """4 windows of |B| = 10 candidates, K = 3."""
    return PromptStream(DATASET, selector, 10, 3, num_episodes=1, seed=5, score=score)


def order_of(selector: PromptSelector) -> list[int]:
    """The prompts of a whole run in the order in which the stream gives them."""
    return [c.row for window in iter(stream_of(selector).draw, None) for c in window.selected]


def collect(
    stream: PromptStream, k: int, worth: set[int], in_rounds: bool = False
) -> tuple[StepGroups[int] | None, list[tuple[str, int]]]:
    """The step of an engine on which the prompts `worth` keeping get varied scores, and what it was asked to do."""
    events: list[tuple[str, int]] = []

    def submit(candidates: list[Candidate], draw: int) -> list[int]:
        events.extend(("submit", candidate.row) for candidate in candidates)
        return [candidate.row for candidate in candidates]

    def receive(call: int) -> tuple[tuple[float, ...], int]:
        events.append(("receive", call))
        return VARIED if call in worth else EQUAL, call

    keep = lambda scores: keeps(scores, AlgoOptions(), True)  # noqa: E731
    return collect_groups(stream, k, submit, receive, keep, in_rounds), events


@given(worth=st.sets(st.integers(0, 39)))
def test_dropped_prompts_are_replaced_in_order_and_none_is_rolled_out_in_vain(worth: set[int]) -> None:
    """Every step of a run, against a walk over the windows; whatever is left of a step's last window is dropped."""
    stream, twin = stream_of(selector_named("random", seed=3)), stream_of(selector_named("random", seed=3))
    while True:
        kept, rolled_out, window = [], [], twin.draw()
        while window is not None and len(kept) < 3:
            for candidate in window.selected:
                if len(kept) < 3:
                    rolled_out.append(candidate.row)
                    kept += [candidate.row] if candidate.row in worth else []
            window = twin.draw() if len(kept) < 3 else window
        groups, events = collect(stream, 3, worth)
        assert [index for kind, index in events if kind == "submit"] == rolled_out
        assert len(events) == 2 * len(rolled_out)
        if len(kept) < 3:
            assert groups is None
            return
        assert groups.kept == kept
        assert [outcome.row for outcome in groups.outcomes] == rolled_out
        assert stream.state_dict()["draw"] == twin.state_dict()["draw"]


def test_prompts_beyond_those_missing_are_in_rollout_waited_for_and_left_out_of_training() -> None:
    o = order_of(Everything())
    groups, events = collect(stream_of(Everything(beyond=2)), 3, worth={o[1], o[2], o[4], o[5]})
    assert events == [
        *(("submit", i) for i in o[:5]),
        ("receive", o[0]),
        ("submit", o[5]),  # the first was dropped: again 3 missing and 5 in rollout
        ("receive", o[1]),
        ("receive", o[2]),
        ("receive", o[3]),
        ("submit", o[6]),  # 1 missing and 3 in rollout
        ("receive", o[4]),
        ("receive", o[5]),  # worth keeping, but nothing is missing any more
        ("receive", o[6]),
    ]
    assert groups.kept == [o[1], o[2], o[4]]
    assert [(outcome.row, outcome.rewards) for outcome in groups.outcomes] == [
        (i, VARIED if i in (o[1], o[2], o[4], o[5]) else EQUAL) for i in o[:7]
    ]


@given(worth=st.sets(st.integers(0, 39)), beyond=st.integers(0, 6), k=st.integers(1, 6))
def test_whatever_is_in_rollout_the_first_k_worth_keeping_are_kept(worth: set[int], beyond: int, k: int) -> None:
    o = order_of(Everything())
    groups, events = collect(stream_of(Everything(beyond)), k, worth)
    submitted, received = ([i for kind, i in events if kind == name] for name in ("submit", "receive"))
    assert submitted == received == o[: len(submitted)]
    in_rollout, missing = 0, k
    for kind, index in events:
        in_rollout += 1 if kind == "submit" else -1
        assert kind == "receive" or in_rollout <= missing + beyond
        missing -= kind == "receive" and index in worth and missing > 0
    first = [i for i in o if i in worth][:k]
    assert groups is None and len(first) < k or groups.kept == first


@given(worth=st.sets(st.integers(0, 39)), beyond=st.integers(0, 6), k=st.integers(1, 6))
def test_in_rounds_nothing_joins_rollouts_under_way_and_the_same_are_kept(worth: set[int], beyond: int, k: int) -> None:
    o = order_of(Everything())
    groups, events = collect(stream_of(Everything(beyond)), k, worth, in_rounds=True)
    under_way, last = 0, "submit"
    for kind, _ in events:
        assert kind == "receive" or last == "submit" or under_way == 0
        under_way, last = under_way + (1 if kind == "submit" else -1), kind
    first = [i for i in o if i in worth][:k]
    assert groups is None and len(first) < k or groups.kept == first
    if groups is not None and beyond == 0:  # then no more is rolled out than without rounds
        assert groups.outcomes == collect(stream_of(Everything()), k, worth)[0].outcomes


def test_greso_has_up_to_one_and_a_half_k_in_rollout_and_sees_all_that_was_generated() -> None:
    selector, worth = selector_named("greso"), set(range(0, 40, 3))
    stream = stream_of(selector)
    generated = []
    while (step := collect(stream, 4, worth))[0] is not None:
        groups, events = step
        assert [kind for kind, _ in events[:7]] == ["submit"] * 6 + ["receive"]
        assert len(groups.kept) == 4 and set(groups.kept) <= worth
        assert [outcome.row for outcome in groups.outcomes] == [index for kind, index in events if kind == "submit"]
        generated += [outcome.row for outcome in groups.outcomes]
        selector.observe(groups.outcomes)
    assert len(generated) == len(set(generated)) > 12


def test_a_window_that_gives_none_leads_to_the_next() -> None:
    groups, _ = collect(stream_of(Everything(empty_windows=2)), 3, worth=set(range(40)))
    assert groups.kept == order_of(Everything())[20:23]
    assert collect(stream_of(Everything(empty_windows=4)), 3, worth=set(range(40)))[0] is None


def test_metrics_are_the_first_windows_with_all_the_scoring_time() -> None:
    order, stream = order_of(selector_named("low-ppl")), stream_of(selector_named("low-ppl"))
    groups, _ = collect(stream, 3, worth=set(order[4:7]))  # of the second window two, of the third one
    first = stream_of(selector_named("low-ppl")).draw()
    assert groups.kept == order[4:7] and len(groups.outcomes) == 7
    timing = groups.metrics.pop("timing/score_prompts")
    assert timing >= 0.03
    assert groups.metrics == {name: value for name, value in first.metrics.items() if not name.startswith("timing/")}
    assert [outcome.perplexity for outcome in groups.outcomes] == [1.0 + i for i in order[:7]]


def test_the_end_of_the_data_is_no_step() -> None:
    stream = stream_of(selector_named("random"))
    for _ in range(4):
        assert len(collect(stream, 3, worth=set(range(40)))[0].kept) == 3
    assert collect(stream, 3, worth=set(range(40))) == (None, [])


@pytest.mark.parametrize(
    ("scores", "mean_range", "zero_variance"),
    [
        ((0.0, 0.0), False, False),
        ((1.0, 1.0), False, False),
        ((0.0, 1.0), True, True),
        ((0.5, 0.5), True, False),  # what the mean cannot see: nothing to learn ...
        ((-1.0, 1.0), False, True),  # ... and something to learn
        ((0.1, 0.1, 0.1), True, False),  # whose mean in floats is not 0.1
    ],
)
def test_criteria_of_dynamic_filtering(scores: tuple[float, ...], mean_range: bool, zero_variance: bool) -> None:
    by_mean = AlgoOptions(dynamic_filtering_enable=True)
    by_variance = AlgoOptions(dynamic_filtering_enable=True, dynamic_filtering_criterion="zero-variance")
    assert keeps(scores, by_mean, drops_zero_variance=False) == mean_range
    assert keeps(scores, by_variance, drops_zero_variance=False) == zero_variance
    assert keeps(scores, AlgoOptions(), drops_zero_variance=False)
    assert keeps(scores, AlgoOptions(), drops_zero_variance=True) == zero_variance
    assert keeps(scores, by_mean, drops_zero_variance=True) == (mean_range and zero_variance)


@given(scores=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=9))
def test_the_criteria_agree_on_scores_of_0_and_1(scores: list[float]) -> None:
    varied = AlgoOptions(dynamic_filtering_enable=True, dynamic_filtering_criterion="zero-variance")
    assert keeps(scores, AlgoOptions(dynamic_filtering_enable=True), False) == keeps(scores, varied, False)


@given(scores=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_the_range_excludes_its_ends(scores: list[float]) -> None:
    mean = sum(scores) / len(scores)
    options = AlgoOptions(dynamic_filtering_enable=True, dynamic_filtering_range=(mean, 2.0))
    assert not keeps(scores, options, False)
    assert not keeps(scores, replace(options, dynamic_filtering_range=(-1.0, mean)), False)
    assert keeps(scores, replace(options, dynamic_filtering_range=(mean - 0.1, mean + 0.1)), False)
