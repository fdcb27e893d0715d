"""Graded responses to problems: what every evaluation metric is computed from.

Boundary: knows neither how responses were generated nor how they were graded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Sample:
    """One graded response."""

    score: float  # at least 1 if it is right
    length: int  # tokens
    truncated: bool  # it ended at the token limit
    answer: str | None = None  # canonical text of its final answer, if it has one
    logs: Mapping[str, float] = field(default_factory=dict)  # what its reward logs


def sample_of(response: Mapping[str, Any]) -> Sample:
    """One of `RolloutEngine.rollout`'s responses, rewarded, as a sample; timings among its logs are left out."""
    return Sample(
        score=float(response["scores"]),
        length=sum(stop - start for start, stop in response["action_ranges"]),
        truncated=bool(response["truncated"]),
        answer=response.get("answer"),
        logs={name: float(value) for name, value in response["extra_logs"].items() if not name.startswith("timing/")},
    )


class ProblemSamples(NamedTuple):
    """The samples of one problem; subject and level are None where its benchmark has none."""

    samples: tuple[Sample, ...]
    subject: str | None = None
    level: str | None = None

    @property
    def scores(self) -> list[float]:
        return [sample.score for sample in self.samples]
