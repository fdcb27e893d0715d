"""maj@n: how often the answer that most samples agree on is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from prepo_rlhf.metrics.samples import Sample


def majority_score(samples: Sequence[Sample]) -> float:
    """Expected score of the most frequent answer; samples without an answer have no vote, and without votes it is 0.

    Ties are broken uniformly at random, so the expectation is the mean over the tied answers. An answer's score is the
    mean over the samples that gave it.
    Source: self-consistency, Wang et al. 2022, arXiv 2203.11171, section 2 (unweighted vote).
    """
    votes: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.answer is not None:
            votes[sample.answer].append(sample.score)
    most = max(map(len, votes.values()), default=0)
    return fmean(fmean(scores) for scores in votes.values() if len(scores) == most) if votes else 0.0
