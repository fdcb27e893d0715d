"""Graded responses to problems: what every evaluation metric is computed from.

Boundary: knows neither how responses were generated nor how they were graded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One graded response.

    `score` is at least 1 if the response is right; `length` counts its tokens; `truncated` says that it ended at the
    token limit; `answer` is the canonical text of its final answer, None where it has none; `logs` are the numbers
    that its reward logs.
    """

    score: float
    length: int
    truncated: bool
    answer: str | None = None
    logs: Mapping[str, float] = field(default_factory=dict)


def sample_of(response: Mapping[str, Any]) -> Sample:
    """A rollout engine's response as a sample; timings among its logs are left out.

    Args:
        response: one of `RolloutEngine.rollout`'s, rewarded.
    """
    return Sample(
        score=float(response["scores"]),
        length=sum(stop - start for start, stop in response["action_ranges"]),
        truncated=bool(response["truncated"]),
        answer=response.get("answer"),
        logs={name: float(value) for name, value in response["extra_logs"].items() if not name.startswith("timing/")},
    )


@dataclass(frozen=True)
class ProblemSamples:
    """The samples of one problem; subject and level are None where its benchmark has none."""

    samples: tuple[Sample, ...]
    subject: str | None = None
    level: str | None = None

    @property
    def scores(self) -> list[float]:
        """The samples' scores, in their order."""
        return [sample.score for sample in self.samples]
