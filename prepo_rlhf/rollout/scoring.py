"""Prompt perplexities under the current policy, from the rollout engines or from the DeepSpeed policy.

Both give the log-prob of every prompt token; this module batches the prompts over engines or ranks, and turns
log-probs into perplexities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import ray
import torch
from openrlhf.trainer.ray.launcher import RayActorGroup
from openrlhf.utils.utils import zero_pad_sequences

from prepo_rlhf.algorithm.perplexity import prompt_perplexity
from prepo_rlhf.ray.engine_calls import Ask, EngineCalls
from prepo_rlhf.selection.base import Candidate

LogProbs = Callable[[list[list[int]]], list[np.ndarray]]
"""Token ids of prompts -> for each prompt the log-probs of its tokens after the first."""


class PromptScorer:
    """Scores candidates; `log_probs` is `engine_log_probs` or `policy_log_probs`, bound to its actors."""

    def __init__(self, log_probs: LogProbs) -> None:
        self._log_probs = log_probs

    def __call__(self, candidates: Sequence[Candidate]) -> list[float]:
        """The perplexity of each candidate over the tokens that count (`--prepo.ppl_tokens`)."""
        per_prompt = self._log_probs([candidate.prompt.token_ids for candidate in candidates])
        log_probs = torch.zeros(len(candidates), max(map(len, per_prompt)))
        mask = torch.zeros_like(log_probs)
        for row, (candidate, values) in enumerate(zip(candidates, per_prompt, strict=True)):
            start, stop = candidate.prompt.scored
            log_probs[row, : len(values)] = torch.tensor(values)
            mask[row, start - 1 : stop - 1] = 1  # entry t - 1 belongs to token t
        return prompt_perplexity(log_probs, mask).tolist()


def engine_log_probs(engines: EngineCalls, prompts: list[list[int]]) -> list[np.ndarray]:
    """One call an engine, the prompts dealt so that every engine gets about as many tokens."""
    shares: list[list[int]] = [[] for _ in range(len(engines))]
    loads = [0] * len(engines)
    for index in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        lightest = loads.index(min(loads))
        shares[lightest].append(index)
        loads[lightest] += len(prompts[index])
    asks = [Ask(number, "score_prompts", ([prompts[i] for i in share],)) for number, share in enumerate(shares)]
    scored: dict[int, np.ndarray] = {}
    for share, call in zip(shares, engines.start(asks), strict=True):
        scored |= zip(share, engines.receive(call), strict=True)
    return [scored[index] for index in range(len(prompts))]


def policy_log_probs(policy: RayActorGroup, batch_size: int, prompts: list[list[int]]) -> list[np.ndarray]:
    """Micro-batches of prompts of like length over the policy's ranks.

    Every rank gets the same number of micro-batches: under ZeRO-3 a forward is a collective operation, and a rank with
    one more would wait for ever.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    ranks = len(policy._actor_handlers) // policy.duplicate_actors
    num_batches = ranks * math.ceil(len(prompts) / (batch_size * ranks))
    # With fewer prompts than ranks, those without one score the first once more.
    batches = [batch.tolist() or order[:1] for batch in np.array_split(np.array(order), num_batches)]
    sequences, masks = [], []
    for batch in batches:
        rows = [torch.tensor(prompts[i]).unsqueeze(0) for i in batch]
        sequences.append(zero_pad_sequences(rows, side="right"))
        masks.append(zero_pad_sequences([torch.ones_like(row) for row in rows], side="right"))
    # With ring attention or tensor parallelism several actors give the same answer: take the first of each.
    calls = policy.async_run_method_batch("score_prompts", sequences=sequences, attention_mask=masks)
    answers = [answer for chunk in ray.get(calls[:: policy.duplicate_actors]) for answer in chunk]
    scored: dict[int, np.ndarray] = {}
    for batch, answer in zip(batches, answers, strict=True):
        for index, row in zip(batch, answer, strict=True):
            scored[index] = row[: len(prompts[index]) - 1].numpy()
    return [scored[index] for index in range(len(prompts))]
