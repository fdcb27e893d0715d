"""Two systems' results compared problem by problem, the problems matched by their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.evaluation.sample_log import read_samples
from prepo_rlhf.evaluation.table import interval, markdown_table, percent
from prepo_rlhf.metrics.bootstrap import PairedDifference, paired_difference

ProblemScores = Mapping[str, Sequence[float]]  # problem id -> scores of its samples


class Comparison(NamedTuple):
    """A and B on one benchmark: means, paired difference, and on how many problems B is better, worse or equal."""

    benchmark: str
    average_a: float
    average_b: float
    paired: PairedDifference
    better: int
    worse: int
    same: int


def compare(a: Mapping[str, ProblemScores], b: Mapping[str, ProblemScores]) -> list[Comparison]:
    """Compare B with A on every benchmark, in A's order.

    The two may have different numbers of samples a problem: a problem counts by its mean score. Raises ValueError if
    only one side has a benchmark, or the two have different problems of it.
    """
    if unmatched := sorted(a.keys() ^ b.keys()):
        raise ValueError(f"only one of the two results has {', '.join(unmatched)}")
    return [_compare_benchmark(benchmark, a[benchmark], b[benchmark]) for benchmark in a]


def comparison_table(comparisons: Sequence[Comparison], name_a: str = "A", name_b: str = "B") -> str:
    """A Markdown table with a row a benchmark; averages in percent, differences in percentage points."""
    header = ["Benchmark", "Problems", name_a, name_b, "Difference [95% interval]", f"P({name_b} is better)"]
    return markdown_table([*header, "Better", "Worse", "Same"], [_row(comparison) for comparison in comparisons])


def compare_folders(a: Path, b: Path) -> str:
    """The comparison table of two evaluations' output folders; ConfigError if a folder holds no evaluation, or the two
    are of different problems."""
    try:
        return comparison_table(compare(_scores(a), _scores(b)), a.name, b.name)
    except ValueError as error:
        raise ConfigError(f"--compare {a} {b}: {error}") from error


def _scores(folder: Path) -> dict[str, dict[str, list[float]]]:
    try:
        problems = read_samples(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"--compare {folder}: there is no samples.jsonl of an evaluation in it") from error
    scores: dict[str, dict[str, list[float]]] = {}
    for (benchmark, problem), rows in problems.items():
        scores.setdefault(benchmark, {})[problem] = [row["score"] for row in rows]
    return scores


def _compare_benchmark(benchmark: str, a: ProblemScores, b: ProblemScores) -> Comparison:
    if a.keys() != b.keys():
        raise ValueError(
            f"{benchmark}: the two results are of different problems: {len(b.keys() - a.keys())} are missing in the "
            f"first, {len(a.keys() - b.keys())} in the second"
        )
    means = [(fmean(a[problem]), fmean(b[problem])) for problem in a]
    means_a, means_b = [mean for mean, _ in means], [mean for _, mean in means]
    return Comparison(
        benchmark,
        average_a=fmean(means_a),
        average_b=fmean(means_b),
        paired=paired_difference(means_a, means_b),
        better=sum(mean_b > mean_a for mean_a, mean_b in means),
        worse=sum(mean_b < mean_a for mean_a, mean_b in means),
        same=sum(mean_b == mean_a for mean_a, mean_b in means),
    )


def _row(comparison: Comparison) -> list[str]:
    paired, counts = comparison.paired, (comparison.better, comparison.worse, comparison.same)
    difference, low, high = (f"{100 * value:+.1f}" for value in (paired.difference, paired.low, paired.high))
    averages = [percent(comparison.average_a), percent(comparison.average_b)]
    probability = percent(paired.probability_better if sum(counts) > 1 else None)  # one problem tells none
    paired_cells = [difference + interval(low, high), probability]
    return [comparison.benchmark, str(sum(counts)), *averages, *paired_cells, *map(str, counts)]
