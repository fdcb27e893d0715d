"""vLLM's sampler on a CPU by inverse transform sampling: one random number a token, not one a vocabulary entry.

Written for vllm 0.29.0, which divides the probabilities by exponential noise and takes the largest. A CPU draws that
noise on one thread, and a second time for requests with a seed; where the vocabulary is large beside the model, nothing
else in a step of the engine takes as long. Here the token is the first whose cumulative probability exceeds a uniform
random number. The distribution is the same; the tokens of a given seed are not.

Speculative decoding (`--vllm.engine_args`) needs a second patch there: vLLM's stand-in for `expand_kernel` writes into
a copy, so that drafts are judged at the temperature that happens to be in memory (vllm-project/vllm, issue 55005).
"""

from __future__ import annotations

import torch
from torch.nn import functional
from vllm.utils import cpu_triton_utils
from vllm.v1.sample.ops import topk_topp_sampler
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

from prepo_rlhf.backends import internals

BLOCK = 64  # tokens; a divisor of most vocabularies, so that they need no padding


def patch_vllm() -> None:
    """Let the samplers that vLLM makes from now on draw one number a token; later calls do nothing."""
    if TopKTopPSampler.forward_cpu is not _forward_cpu:
        internals.require("vllm.v1.sample.ops.topk_topp_sampler:TopKTopPSampler.forward_cpu")
        TopKTopPSampler.forward_cpu = _forward_cpu
        internals.require("vllm.utils.cpu_triton_utils:_expand_kernel_impl")
        cpu_triton_utils.expand_kernel.func = _expand


def sample(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """For each row, the first token whose cumulative probability exceeds the row's uniform number.

    Finds the block of tokens first, then the token in it, which avoids a cumulative sum over the whole vocabulary.

    Args:
        probabilities: (rows, vocabulary), not negative; a row's sum need not be exactly 1.
        uniforms: (rows,) in [0, 1), float64.
    Returns:
        (rows,) ids of tokens whose probability is above 0.
    Raises:
        ArithmeticError: a probability is not finite, as where a policy's weights are absurd.
    """
    padding = -probabilities.shape[1] % BLOCK
    if padding:
        probabilities = functional.pad(probabilities, (0, padding))
    blocks = probabilities.unflatten(-1, (-1, BLOCK))
    shares = blocks.sum(-1)
    if not shares.isfinite().all():
        raise ArithmeticError("the model's probabilities are not finite; look at --actor.adam.lr and at its weights")
    block, rest = _locate(shares, uniforms)
    token, _ = _locate(blocks[torch.arange(len(blocks)), block], rest)
    return block * BLOCK + token


def _locate(shares: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The entry of each row at which its cumulative sum exceeds its uniform number, and where in that entry the number
    lies, which is uniform in [0, 1] again."""
    ends = shares.cumsum(-1, dtype=torch.float64)
    totals = ends[:, -1]
    # Rounding must not take a number to the total, beyond the last entry.
    places = torch.minimum(uniforms * totals, totals.nextafter(torch.zeros_like(totals)))[:, None]
    index = torch.searchsorted(ends, places, right=True)
    share = shares.gather(-1, index)
    rest = 1 - (ends.gather(-1, index) - places) / share
    return index.squeeze(-1), rest.clamp(min=0).squeeze(-1)


def _forward_cpu(
    self: TopKTopPSampler,
    logits: torch.Tensor,
    generators: dict[int, torch.Generator],
    k: torch.Tensor | None,
    p: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What vLLM's own returns: token ids (rows,), and the processed logits or log-probs where they are asked for."""
    logits = topk_topp_sampler.apply_top_k_top_p(logits, k, p)
    processed = None
    if self.logprobs_mode == "processed_logits":
        processed = logits
    elif self.logprobs_mode == "processed_logprobs":
        processed = logits.log_softmax(dim=-1, dtype=torch.float32)
    uniforms = torch.rand(len(logits), dtype=torch.float64)
    for row, generator in generators.items():
        uniforms[row] = torch.rand((), dtype=torch.float64, generator=generator)
    return sample(logits.softmax(dim=-1, dtype=torch.float32), uniforms), processed


def _expand(
    output: torch.Tensor,
    values: torch.Tensor,
    ends: torch.Tensor,
    replace_from: float,
    replace_to: float,
    MAX_NUM_TOKENS: int | None = None,
) -> None:
    """Fill `output` (tokens,) with each request's value, once for each of its tokens.

    Args:
        values: (requests,); those that are `replace_from` count as `replace_to`.
        ends: (requests,) where each request's tokens end.
    """
    values = torch.where(values == replace_from, torch.as_tensor(replace_to, dtype=values.dtype), values)
    output.copy_(values.repeat_interleave(ends.diff(prepend=ends.new_zeros(1))))
