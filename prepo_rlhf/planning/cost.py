"""The arithmetic of one step by phase, in FLOPs, and seconds where the user says how fast the GPUs are.

Forward takes 2 N a token, backward 4 N (Kaplan et al. 2020, arXiv 2001.08361: 6 N D), N being the parameters that a
token is multiplied with. Attention's query-key products are left out, as there: long sequences cost more.
Boundary: sizes in, numbers out; every speed is the user's.
"""

from __future__ import annotations

from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.planning.model_shape import ModelShape
from prepo_rlhf.planning.step_counts import most_prompts


class Lengths(NamedTuple):
    """Mean tokens of a prompt and of a response."""

    prompt: int
    response: int


class Speed(NamedTuple):
    """Measured `tflops` of a GPU and `tokens_per_second` of an engine; None if unknown."""

    tflops: float | None = None
    tokens_per_second: float | None = None


class Phase(NamedTuple):
    """FLOPs of a phase of one step over all GPUs, and its seconds where they can be told."""

    name: str
    flops: float
    seconds: float | None


def phases(shape: ModelShape, config: Config, lengths: Lengths, speed: Speed) -> list[Phase]:
    """The phases of a step that trains on all its rollouts, in order."""
    forward = 2 * shape.multiplied
    k, n, candidates = config.rollout.batch_size, config.rollout.n_samples_per_prompt, config.prepo.candidate_batch_size
    sequences = k * n * (lengths.prompt + lengths.response)
    passes = config.prepo.needs_perplexities + config.prepo.needs_entropies
    scored = candidates * lengths.prompt * passes
    policy = config.actor.num_nodes * config.actor.num_gpus_per_node
    engines = config.vllm.num_engines * config.vllm.tensor_parallel_size
    scored_by_engines = config.prepo.score_with == "rollout" and not config.prepo.needs_entropies

    def computed(name: str, flops: float, gpus: int) -> Phase:
        return Phase(name, flops, flops / (speed.tflops * 1e12 * gpus) if speed.tflops else None)

    tokens = k * n * lengths.response
    rate = speed.tokens_per_second
    decoding = Phase("generate", forward * tokens, tokens / (rate * config.vllm.num_engines) if rate else None)
    result = [computed("score prompts", forward * scored, engines if scored_by_engines else policy)]
    prefilled = _prefilled(config, lengths, cached=scored > 0 and scored_by_engines)
    result += [computed("read prompts", forward * prefilled, engines), decoding]
    result.append(computed("old log-probs", forward * sequences, policy))
    if config.algo.kl.init_coef > 0:
        reference = config.ref.num_nodes * config.ref.num_gpus_per_node
        result.append(computed("reference log-probs", forward * sequences, reference))
    uses = config.train.max_epochs + config.train.replay_depth  # at most: groups without advantage are not replayed
    # In forward passes: backward is two, or one with frozen weights; checkpointing adds one.
    passes = 1 + (1 if config.ds.lora.rank else 2) + config.actor.gradient_checkpointing_enable
    result.append(computed("train", passes * forward * sequences * uses, policy))
    return result


def _prefilled(config: Config, lengths: Lengths, cached: bool) -> int:
    """Prompt tokens of the prefill: without a prefix cache, those of every rollout; with it, of the most prompts that a
    step can have."""
    if not config.vllm.enable_prefix_caching:
        return config.rollout.batch_size * config.rollout.n_samples_per_prompt * lengths.prompt
    return 0 if cached else most_prompts(config) * lengths.prompt
