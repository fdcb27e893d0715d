"""maj@n against hand-made votes, and against drawing the winner of a tie."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.metrics.majority import majority_score
from prepo_rlhf.metrics.samples import Sample


def votes(text: str, right: str = "a") -> list[Sample]:
    """A sample for every character: the answer, or none for a dot."""
    return [Sample(float(answer == right), 1, False, None if answer == "." else answer) for answer in text]


@pytest.mark.parametrize(
    ("text", "score"),
    [("a", 1), ("b", 0), ("baa", 1), ("abb", 0), ("ab", 0.5), ("abc", 1 / 3), ("aabbc", 0.5), ("bbcc", 0)],
)
def test_most_frequent_answer_wins_and_ties_share(text: str, score: float) -> None:
    assert majority_score(votes(text)) == pytest.approx(score)


@pytest.mark.parametrize(("text", "score"), [("....a", 1), ("...bba", 0), (".", 0), ("", 0)])
def test_samples_without_an_answer_have_no_vote(text: str, score: float) -> None:
    assert majority_score(votes(text)) == score


def test_a_right_sample_without_an_answer_does_not_count() -> None:
    assert majority_score([Sample(1.0, 1, False), Sample(0.0, 1, False, "b")]) == 0


def test_an_answer_graded_both_ways_scores_its_mean() -> None:
    assert majority_score([Sample(score, 1, False, "a") for score in (1.0, 1.0, 0.0, 0.0)]) == 0.5


@given(st.text("abc.", min_size=1, max_size=12), st.randoms())
def test_order_does_not_matter(text: str, shuffler: random.Random) -> None:
    shuffled = list(text)
    shuffler.shuffle(shuffled)
    assert majority_score(votes("".join(shuffled))) == majority_score(votes(text))


@pytest.mark.parametrize("text", ["aabb.c", "abcd", "aabbcc", "bbcc.a"])
def test_is_the_expectation_of_a_drawn_winner(text: str) -> None:
    draw, counts = random.Random(0), Counter(text.replace(".", ""))
    tied = [answer for answer, count in counts.items() if count == max(counts.values())]
    drawn = fmean(draw.choice(tied) == "a" for _ in range(20_000))
    assert majority_score(votes(text)) == pytest.approx(drawn, abs=0.02)
