"""The training command with a selector that knows: candidates by their pass rate under the current policy.

    python benchmarks/selectors/oracle.py --prepo.selector low-ppl ...

How much room there is for a selector: each candidate is first rolled out SCREENING times, which is not counted, and
takes as its "perplexity" 1 + |pass rate - 1/2|; `--prepo.selector low-ppl` then chooses those nearest 1/2. It belongs
to the experiment and not to the product, since its screening takes five times the rollouts that it trains on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import ray

from prepo_rlhf.cli import train_prepo_ray
from prepo_rlhf.config import Config
from prepo_rlhf.selection import Candidate

SCREENING = 8


class PassRateScorer:
    """Distance of each candidate's pass rate from 1/2, from fresh rollouts of the engines."""

    def __init__(self, config: Config, fleet: Any) -> None:
        from prepo_rlhf.ray.requests import generation_params

        self._engines = fleet.engines
        self._params = generation_params(SCREENING, config.rollout.temperature, config.rollout.max_new_tokens)

    def __call__(self, candidates: Sequence[Candidate]) -> list[float]:
        calls = [
            self._engines[i % len(self._engines)].rollout.remote(
                candidate.prompt.text, candidate.prompt.token_ids, candidate.prompt.label, self._params
            )
            for i, candidate in enumerate(candidates)
        ]
        return [1 + abs(_pass_rate(ray.get(call)) - 0.5) for call in calls]


def _pass_rate(responses: list[dict[str, Any]]) -> float:
    return sum(float(response["scores"]) >= 1 for response in responses) / len(responses)


if __name__ == "__main__":
    sys.exit(train_prepo_ray.main(make_scorer=PassRateScorer))
