"""Prompt perplexities under the current policy, from the rollout engines or from the DeepSpeed policy; and prompt
entropies, from the policy alone, since engines tell the log-probs of a few tokens only.

This module batches the prompts over engines or ranks, and turns the values of tokens into one of each prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import ray
import torch
from openrlhf.trainer.ray.launcher import RayActorGroup
from openrlhf.utils.utils import zero_pad_sequences

from prepo_rlhf.algorithm.entropy_weights import sequence_mean_entropy
from prepo_rlhf.algorithm.perplexity import prompt_perplexity
from prepo_rlhf.ray.engine_calls import Ask, EngineCalls
from prepo_rlhf.selection.base import Candidate

TokenValues = Callable[[list[list[int]]], list[np.ndarray]]
"""Token ids of prompts -> for each prompt the values of its tokens after the first."""


class PromptScorer:
    """Scores candidates by their perplexity; `values` is `engine_log_probs` or `policy_log_probs`, bound to its actors.

    With `policy_entropies`, and `sequence_mean_entropy` for `summed_up`, by their mean entropy.
    """

    def __init__(
        self, values: TokenValues, summed_up: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = prompt_perplexity
    ) -> None:
        self._values, self._summed_up = values, summed_up

    def __call__(self, candidates: Sequence[Candidate]) -> list[float]:
        """The score of each candidate over the tokens that count (`--prepo.ppl_tokens`)."""
        per_prompt = self._values([candidate.prompt.token_ids for candidate in candidates])
        padded = torch.zeros(len(candidates), max(map(len, per_prompt)))
        mask = torch.zeros_like(padded)
        for row, (candidate, values) in enumerate(zip(candidates, per_prompt, strict=True)):
            start, stop = candidate.prompt.scored
            padded[row, : len(values)] = torch.tensor(values)
            mask[row, start - 1 : stop - 1] = 1  # entry t - 1 belongs to token t
        return self._summed_up(padded, mask).tolist()


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
    """Log-probs of the prompts' tokens after the first."""
    return _of_policy("score_prompts", policy, batch_size, prompts)


def policy_entropies(policy: RayActorGroup, batch_size: int, prompts: list[list[int]]) -> list[np.ndarray]:
    """Entropies, in nats, of what the policy expected in the place of each prompt's tokens after the first."""
    return _of_policy("prompt_entropies", policy, batch_size, prompts)


def entropy_scorer(policy: RayActorGroup, batch_size: int) -> PromptScorer:
    """Mean entropies over candidates' prompts."""
    return PromptScorer(partial(policy_entropies, policy, batch_size), sequence_mean_entropy)


def _of_policy(method: str, policy: RayActorGroup, batch_size: int, prompts: list[list[int]]) -> list[np.ndarray]:
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
    calls = policy.async_run_method_batch(method, sequences=sequences, attention_mask=masks)
    answers = [answer for chunk in ray.get(calls[:: policy.duplicate_actors]) for answer in chunk]
    scored: dict[int, np.ndarray] = {}
    for batch, answer in zip(batches, answers, strict=True):
        for index, row in zip(batch, answer, strict=True):
            scored[index] = row[: len(prompts[index]) - 1].numpy()
    return [scored[index] for index in range(len(prompts))]
