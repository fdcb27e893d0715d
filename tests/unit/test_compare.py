"""Two result sets matched problem by problem."""

from __future__ import annotations

import pytest

from prepo_rlhf.evaluation.compare import compare, comparison_table
from prepo_rlhf.metrics.bootstrap import paired_difference

A = {"p1": [0, 0], "p2": [1, 0], "p3": [1, 1], "p4": [0, 1]}
B = {"p4": [0, 0, 0, 0], "p3": [1, 1, 1, 1], "p2": [1, 1, 1, 1], "p1": [1, 0, 0, 0]}  # another order, another n


def test_problems_are_matched_by_id() -> None:
    (row,) = compare({"math": A}, {"math": B})
    assert (row.benchmark, row.average_a, row.average_b) == ("math", 0.5, 0.5625)
    assert (row.better, row.worse, row.same) == (2, 1, 1)
    assert row.paired == paired_difference([0, 0.5, 1, 0.5], [0.25, 1, 1, 0])
    assert row.paired.difference == pytest.approx(0.0625)


def test_a_row_a_benchmark_in_the_order_of_the_first() -> None:
    rows = compare({"math": A, "aime": A}, {"aime": A, "math": B})
    assert [row.benchmark for row in rows] == ["math", "aime"]
    assert (rows[1].same, rows[1].paired.difference, rows[1].paired.probability_better) == (4, 0, 0.5)


@pytest.mark.parametrize(
    ("b", "missing"),
    [
        ({"p1": [1], "p2": [1]}, "0 are missing in the first, 2 in the second"),
        (A | {"p5": [1]}, "1 are missing in the first, 0 in the second"),
        ({"q1": [1]}, "1 are missing in the first, 4 in the second"),
    ],
)
def test_refuses_different_problems(b: dict[str, list[float]], missing: str) -> None:
    with pytest.raises(ValueError, match=f"^math: .*{missing}"):
        compare({"aime": A, "math": A}, {"aime": A, "math": b})


def test_refuses_a_benchmark_of_one_side() -> None:
    with pytest.raises(ValueError, match="only one of the two results has aime, gsm8k"):
        compare({"math": A, "aime": A}, {"math": B, "gsm8k": B})


def test_one_problem_has_neither_interval_nor_probability() -> None:
    table = comparison_table(compare({"one": {"p": [0.0]}}, {"one": {"p": [0.75]}}))
    assert "| one | 1 | 0.0% | 75.0% | +75.0 | – | 1 | 0 | 0 |\n" in table


def test_table() -> None:
    a = {f"p{i}": [0.0] for i in range(10)}
    b = {f"p{i}": [1.0] for i in range(10)}
    rows = compare({"math": a, "same": a, "worse": b}, {"math": b, "same": a, "worse": a})
    assert comparison_table(rows, "base", "prepo") == (
        "| Benchmark | Problems | base | prepo | Difference [95% interval] "
        "| P(prepo is better) | Better | Worse | Same |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| math | 10 | 0.0% | 100.0% | +100.0 | 100.0% | 10 | 0 | 0 |\n"
        "| same | 10 | 0.0% | 0.0% | +0.0 | 50.0% | 0 | 0 | 10 |\n"
        "| worse | 10 | 100.0% | 0.0% | -100.0 | 0.0% | 0 | 10 | 0 |\n"
    )


def test_table_of_a_difference_with_an_interval() -> None:
    (row,) = compare({"math": A}, {"math": B})
    low, high = 100 * row.paired.low, 100 * row.paired.high
    assert low < 0 < high
    assert f"| math | 4 | 50.0% | 56.2% | +6.2 [{low:.1f}, +{high:.1f}] |" in comparison_table([row])
