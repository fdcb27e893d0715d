"""Graded responses to problems: what every evaluation metric is computed from.

Boundary: knows neither how responses were generated nor how they were graded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One graded response.

    `score` is at least 1 if the response is right; `length` counts its tokens; `truncated` says that it ended at the
    token limit; `answer` is the canonical text of its final answer, None where it has none.
    """

    score: float
    length: int
    truncated: bool
    answer: str | None = None


@dataclass(frozen=True)
class ProblemSamples:
    """The samples of one problem, and the groups that the problem belongs to; None where its benchmark has none."""

    samples: tuple[Sample, ...]
    subject: str | None = None
    level: str | None = None

    @property
    def scores(self) -> list[float]:
        """The samples' scores, in their order."""
        return [sample.score for sample in self.samples]
