"""The numbers of a set of problems, against ones worked out by hand."""

from __future__ import annotations

import pytest

from prepo_rlhf.metrics.bootstrap import mean_interval
from prepo_rlhf.metrics.samples import ProblemSamples, Sample
from prepo_rlhf.metrics.summary import summarise, summarise_by


def problem(*scores: float, answers: str = "", subject: str | None = None, level: str | None = None) -> ProblemSamples:
    """Samples of 10, 20, 30, ... tokens, the last one truncated."""
    named = [None if answer == "." else answer for answer in answers or "." * len(scores)]
    samples = (
        Sample(score, 10 * (i + 1), i + 1 == len(scores), answer)
        for i, (score, answer) in enumerate(zip(scores, named, strict=True))
    )
    return ProblemSamples(tuple(samples), subject, level)


PROBLEMS = [problem(1, 0, 0, 0), problem(1, 1, 1, 1), problem(0, 0, 0, 0.5)]


def test_of_problems_without_answers() -> None:
    low, high = mean_interval([0.25, 1, 0.125])
    assert summarise(PROBLEMS) == pytest.approx(
        {
            "avg@4": 5.5 / 12,
            "avg@4_low": low,
            "avg@4_high": high,
            "pass@1": 5 / 12,
            "pass@2": 0.5,
            "pass@4": 2 / 3,
            "response_length": 25,
            "truncated_ratio": 0.25,
        }
    )


def test_majority_is_reported_once_any_sample_has_an_answer() -> None:
    problems = [problem(1, 0, 1, answers="aba"), problem(0, 1, 0, answers="bab"), problem(0, 0, 0)]
    assert summarise(problems)["maj@3"] == pytest.approx(1 / 3)
    assert "maj@3" not in summarise(problems[2:])


def test_interval_contains_the_average() -> None:
    summary = summarise(PROBLEMS * 20)
    assert summary["avg@4_low"] < summary["avg@4"] < summary["avg@4_high"]


def test_one_problem_with_one_sample() -> None:
    summary = summarise([problem(1)])
    assert summary["avg@1"] == summary["avg@1_low"] == summary["avg@1_high"] == summary["pass@1"] == 1


@pytest.mark.parametrize("problems", [[], [problem()], [problem(1), problem(1, 0)]])
def test_refuses_unequal_or_no_samples(problems: list[ProblemSamples]) -> None:
    with pytest.raises(ValueError, match="as many samples each"):
        summarise(problems)


def test_groups_are_summarised_apart() -> None:
    algebra = [problem(1, 1, subject="Algebra", level="2"), problem(1, 0, subject="Algebra")]
    number_theory = [problem(0, 0, subject="Number theory", level="1")]
    problems = number_theory + algebra + [problem(1, 1)]
    by_subject = summarise_by(problems, "subject")
    assert list(by_subject) == ["Algebra", "Number theory"]
    assert by_subject["Algebra"] == {"num_problems": 2} | summarise(algebra)
    assert by_subject["Number theory"] == {"num_problems": 1} | summarise(number_theory)
    assert {name: group["avg@2"] for name, group in summarise_by(problems, "level").items()} == {"1": 0, "2": 1}


def test_no_groups_where_the_data_has_none() -> None:
    assert summarise_by(PROBLEMS, "subject") == summarise_by(PROBLEMS, "level") == {}
