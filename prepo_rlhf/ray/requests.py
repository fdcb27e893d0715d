"""Seeds and sampling parameters of every request to a rollout engine: to score, to train on, to evaluate.

Boundary: vLLM's SamplingParams; which requests there are, and which of them get a seed, is decided by the callers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from prepo_rlhf.prompts.stops import EOS_ALONE, Stops


def derived_seed(seed: int, *purpose: object) -> int:
    """A seed of its own for each purpose, in 31 bits, from the run's seed."""
    return random.Random(" ".join(map(str, (seed, *purpose)))).getrandbits(31)


def agent_seeds(seed: int | None, sample: int, num_samples: int) -> Iterator[int] | None:
    """Seeds of the requests that one of an agent's `num_samples` samples makes; no two samples share one."""
    return None if seed is None else itertools.count(seed + sample, num_samples)


def scoring_params() -> SamplingParams:
    """Asks for the log-probs of a prompt's tokens; vLLM must generate one token, which is dropped."""
    return SamplingParams(
        max_tokens=1, prompt_logprobs=0, flat_logprobs=True, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
    )


def generation_params(
    num_samples: int,
    temperature: float,
    max_tokens: int,
    top_p: float = 1.0,
    seed: int | None = None,
    min_tokens: int = 0,
    log_probs: bool = False,
    stops: Stops = EOS_ALONE,
) -> SamplingParams:
    """Asks for `num_samples` responses of up to `max_tokens`; with `log_probs` for those of their tokens too.

    Whatever ends a response stays in it: the policy is to learn to end there.
    """
    return SamplingParams(
        n=num_samples,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        seed=seed,
        logprobs=1 if log_probs else None,
        stop_token_ids=list(stops.token_ids),
        stop=list(stops.texts),
        include_stop_str_in_output=bool(stops.texts),
        skip_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
