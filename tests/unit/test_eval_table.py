"""The Markdown of benchmark results."""

from __future__ import annotations

from typing import Any

from prepo_rlhf.evaluation.table import markdown_table, results_tables
from prepo_rlhf.metrics.samples import ProblemSamples, Sample
from prepo_rlhf.metrics.summary import summarise, summarise_by

AIME = {
    "avg@4": 0.1, "avg@4_low": 0.0333, "avg@4_high": 0.2, "pass@1": 0.1, "pass@2": 0.15, "pass@4": 0.2,
    "response_length": 1234.5, "truncated_ratio": 0.0625,
}  # fmt: skip
MATH = {
    "avg@2": 0.8, "avg@2_low": 0.75, "avg@2_high": 0.85, "pass@1": 0.8, "pass@2": 0.9, "maj@2": 0.825,
    "response_length": 600.0, "truncated_ratio": 0.0,
}  # fmt: skip


def result(summary: dict[str, float], problems: int, **groups: Any) -> dict[str, Any]:
    return {"num_problems": problems, "overall": summary, "subject": {}, "level": {}, "seconds": 3.0} | groups


def test_benchmarks_with_different_numbers_of_samples() -> None:
    assert results_tables({"aime": result(AIME, 30), "math": result(MATH, 500)}) == (
        "| Benchmark | Problems | n | avg@n [95% interval] "
        "| pass@1 | pass@2 | pass@4 | maj@n | Mean length | Truncated |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| aime | 30 | 4 | 10.0% [3.3, 20.0] | 10.0% | 15.0% | 20.0% | – | 1234 | 6.2% |\n"
        "| math | 500 | 2 | 80.0% [75.0, 85.0] | 80.0% | 90.0% | – | 82.5% | 600 | 0.0% |\n"
    )


def test_no_majority_column_without_answers() -> None:
    assert "maj@" not in results_tables({"aime": result(AIME, 30)})


def test_groups_have_tables_of_their_own() -> None:
    groups = {"Algebra": {"num_problems": 3} | MATH, "Geometry": {"num_problems": 4} | AIME}
    math = result(MATH, 500, subject=groups, level={"5": groups["Algebra"]})
    overall, by_subject, by_level = results_tables({"aime": result(AIME, 30), "math": math}).split("\n### ")
    assert by_subject.startswith("math by subject\n\n| Subject | Problems |")
    assert "\n| Algebra | 3 | 2 | 80.0% [75.0, 85.0] |" in by_subject
    assert "\n| Geometry | 4 | 4 | 10.0% [3.3, 20.0] |" in by_subject
    assert by_level.startswith("math by level\n\n| Level | Problems |") and "\n| 5 | 3 | 2 |" in by_level
    assert "Algebra" not in overall


def test_takes_what_the_summary_gives() -> None:
    right, wrong = Sample(1, 7, False, "x"), Sample(0, 7, False, "x")
    problems = [ProblemSamples((right, right), subject="A"), ProblemSamples((wrong, wrong), subject="B")]
    groups = {attribute: summarise_by(problems, attribute) for attribute in ("subject", "level")}
    lines = results_tables({"tiny": result(summarise(problems), 2, **groups)}).splitlines()
    assert "| tiny | 2 | 2 | 50.0% [0.0, 100.0] | 50.0% | 50.0% | 50.0% | 7 | 0.0% |" in lines
    assert "| A | 1 | 2 | 100.0% | 100.0% | 100.0% | 100.0% | 7 | 0.0% |" in lines


def test_a_bar_in_a_name_does_not_end_its_cell() -> None:
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"
