"""Activation memory of one micro-batch's forward and backward pass on a GPU, in bytes.

The formulas of Korthikanti et al. 2022 (arXiv 2205.05198), for transformers' Llama and Qwen: RMS norms in float32,
grouped-query attention without a score matrix (flash attention or sdpa), SwiGLU, no dropout. A test compares them with
the tensors that autograd saves.
Boundary: sizes in, bytes out.
"""

from __future__ import annotations

from prepo_rlhf.config import Config
from prepo_rlhf.output_head.chunk_size import tokens_at_once
from prepo_rlhf.planning.model_shape import ModelShape

FLOAT32 = 4


def element_size(config: Config) -> int:
    """Bytes of a weight, and of an activation."""
    return 4 if config.ds.param_dtype == "fp32" else 2


def micro_batch_tokens(config: Config) -> int:
    """Tokens of the largest micro-batch in training on one GPU, if all its sequences have the maximum length."""
    return _tokens(config, config.train.micro_batch_size, config.train.max_tokens_per_gpu)


def experience_tokens(config: Config) -> int:
    """Tokens of the largest micro-batch in the pass for old log-probs on one GPU."""
    return _tokens(config, config.rollout.micro_batch_size, config.rollout.max_tokens_per_gpu or 0)


def _tokens(config: Config, micro_batch_size: int, max_tokens: int) -> int:
    longest = config.data.max_len
    if config.train.dynamic_batch_enable:
        return max(max_tokens, -(-longest // config.ds.ring_attn_size))
    return -(-micro_batch_size * longest // config.ds.ring_attn_size)


def layer_bytes(shape: ModelShape, element: int) -> int:
    """Activations that autograd saves in one layer, for each token.

    Two norms: input in float32 with a number of its scale, normalised, output. Attention: queries, keys, values,
    output, and a float32 number a head. MLP: gate, its SiLU, up, product. Norms of queries and keys, where there are.
    """
    heads = shape.heads + shape.kv_heads
    norms = 2 * ((FLOAT32 + 2 * element) * shape.hidden + FLOAT32)
    attention = 2 * element * heads * shape.head_dim + FLOAT32 * shape.heads
    head_norms = heads * ((FLOAT32 + element) * shape.head_dim + FLOAT32) if shape.normalises_heads else 0
    return norms + attention + head_norms + 4 * element * shape.intermediate


def kept_bytes(shape: ModelShape, config: Config, tokens: int) -> int:
    """Activations kept from forward to backward of `tokens`; with checkpointing, only the input of each layer."""
    element = element_size(config)
    checkpointed = config.actor.gradient_checkpointing_enable
    layer = element * shape.hidden if checkpointed else layer_bytes(shape, element)
    last_norm = (FLOAT32 + 2 * element) * shape.hidden + FLOAT32
    return tokens * (shape.layers * layer + last_norm)


def in_layer_bytes(shape: ModelShape, config: Config, tokens: int) -> int:
    """What backward adds in one layer: gradients, and with checkpointing the recomputed activations."""
    element = element_size(config)
    # Of the MLP's gate, up and product, and of two inputs.
    gradients = element * (3 * shape.intermediate + 2 * shape.hidden)
    again = layer_bytes(shape, element) if config.actor.gradient_checkpointing_enable else 0
    return tokens * (gradients + again)


def experience_pass_bytes(shape: ModelShape, config: Config, tokens: int) -> int:
    """The most that a forward without gradients holds at once: one layer's tensors."""
    return tokens * layer_bytes(shape, element_size(config))


def head_bytes(shape: ModelShape, config: Config, tokens: int, device: str = "cuda") -> int:
    """The peak of `output_head` in backward: logits of one chunk, and the weight's float32 gradient.

    A GPU's kernels write the gradient over the logits, in the weight's type. Elsewhere a chunk needs at once, in
    float32, the logits, their log-softmax, its exponential and their gradient, with an entropy bonus two more. The
    previous chunk's gradient is still allocated. A trained weight's gradient is accumulated in float32, beside the
    chunk's contribution in the weight's type and the logits' gradient.
    """
    element = element_size(config)
    chunk = min(tokens, tokens_at_once(shape.vocabulary, device))
    last_chunk = element if tokens > chunk else 0
    own = element if device == "cuda" else FLOAT32 * (6 if config.actor.entropy_coef else 4)
    weight = 0 if config.ds.lora.rank else shape.vocabulary * shape.hidden
    summing = weight * element + chunk * shape.vocabulary * element
    return weight * FLOAT32 + max(chunk * shape.vocabulary * (own + last_chunk), summing)


def plain_head_bytes(shape: ModelShape, config: Config, tokens: int) -> int:
    """The same if all logits are materialised: in the model's type, in float32, and their float32 gradient."""
    weight = 0 if config.ds.lora.rank else shape.vocabulary * shape.hidden
    return tokens * shape.vocabulary * (element_size(config) + 2 * FLOAT32) + weight * element_size(config)
