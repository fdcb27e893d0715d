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

SCREENING = 8


class PassRateScorer:
    """Distance of each candidate's pass rate from 1/2, from fresh rollouts of the engines."""

    def __init__(self, config: Config, fleet: Any, prepared: Any) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._engines = fleet.engines
        self._token_ids = prepared.train.token_ids
        self._params = SamplingParams(
            n=SCREENING,
            temperature=config.rollout.temperature,
            max_tokens=config.rollout.max_new_tokens,
            skip_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def __call__(self, candidates: Sequence[Any]) -> list[float]:
        calls = [
            self._engines[i % len(self._engines)].rollout.remote(
                candidate.prompt, self._token_ids[candidate.index], candidate.label, self._params
            )
            for i, candidate in enumerate(candidates)
        ]
        return [1 + abs(_pass_rate(ray.get(call)) - 0.5) for call in calls]


def _pass_rate(responses: list[dict[str, Any]]) -> float:
    return sum(float(response["scores"]) >= 1 for response in responses) / len(responses)


if __name__ == "__main__":
    sys.exit(train_prepo_ray.main(make_scorer=PassRateScorer))
