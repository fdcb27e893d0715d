"""The numbers reported for a set of problems. Training and benchmarks share them.

Boundary: from graded samples to named numbers; neither files nor tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from prepo_rlhf.metrics.bootstrap import mean_interval
from prepo_rlhf.metrics.majority import majority_score
from prepo_rlhf.metrics.pass_at_k import pass_at_k, powers_of_two
from prepo_rlhf.metrics.samples import ProblemSamples


def summarise(problems: Sequence[ProblemSamples]) -> dict[str, float]:
    """Metrics of problems with n samples each; n is a number in the names.

    avg@n: mean score; avg@n_low, avg@n_high: its 95% bootstrap interval over problems; pass@k for k = 1, 2, 4, ..., n;
    maj@n, if any sample has an answer; response_length: mean tokens a response; truncated_ratio: share of responses cut
    off at the token limit; and the mean of every number that the rewards log.
    Raises ValueError if there are no problems, or they differ in their number of samples.
    """
    counts = sorted({len(problem.samples) for problem in problems})
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(f"a summary needs problems with as many samples each, not {counts or 'no problems'}")
    n = counts[0]
    samples = [sample for problem in problems for sample in problem.samples]
    averages = [fmean(problem.scores) for problem in problems]
    correct = [sum(score >= 1 for score in problem.scores) for problem in problems]
    low, high = mean_interval(averages)
    summary = {f"avg@{n}": fmean(averages), f"avg@{n}_low": low, f"avg@{n}_high": high}
    summary |= {f"pass@{k}": fmean(pass_at_k(n, c, k) for c in correct) for k in powers_of_two(n)}
    if any(sample.answer is not None for sample in samples):
        summary[f"maj@{n}"] = fmean(majority_score(problem.samples) for problem in problems)
    summary["response_length"] = fmean(sample.length for sample in samples)
    summary["truncated_ratio"] = fmean(sample.truncated for sample in samples)
    names = {name for sample in samples for name in sample.logs}
    return summary | {name: fmean(sample.logs.get(name, 0.0) for sample in samples) for name in sorted(names)}


def summarise_by(
    problems: Sequence[ProblemSamples], attribute: Literal["subject", "level"]
) -> dict[str, dict[str, float]]:
    """`summarise` of every subject or level, sorted by name, each with its `num_problems`; problems that have no such
    attribute are left out."""
    groups: dict[str, list[ProblemSamples]] = defaultdict(list)
    for problem in problems:
        name = getattr(problem, attribute)
        if name is not None:
            groups[name].append(problem)
    return {name: {"num_problems": len(groups[name])} | summarise(groups[name]) for name in sorted(groups)}
