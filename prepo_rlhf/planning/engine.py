"""Memory of a rollout engine on each of its GPUs, in bytes: weights and KV cache.

vLLM takes `--vllm.gpu_memory_utilization` of a GPU; what weights and workspace leave of it is its KV cache, in blocks
of 16 tokens (a test compares their size with vLLM's own).
Boundary: sizes in, bytes out.
"""

from __future__ import annotations

from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.planning.activations import element_size
from prepo_rlhf.planning.model_shape import ModelShape

BLOCK_TOKENS = 16


class Engine(NamedTuple):
    """On each of an engine's GPUs. `sequences` of `--data.max_len` tokens fit the cache of `cache` bytes at once."""

    taken: int
    weights: int
    cache: int
    sequences: int


def rollout_engine(shape: ModelShape, config: Config, gpu_bytes: int, workspace: int) -> Engine:
    """An engine on GPUs of `gpu_bytes`, of which its share leaves `workspace` to what is neither weights nor cache."""
    taken = int(gpu_bytes * config.vllm.gpu_memory_utilization)
    weights = shape.parameters * element_size(config) // config.vllm.tensor_parallel_size
    cache = max(0, taken - weights - workspace)
    blocks = -(-config.data.max_len // BLOCK_TOKENS)
    return Engine(taken, weights, cache, cache // (blocks * block_bytes(shape, config)))


def block_bytes(shape: ModelShape, config: Config) -> int:
    """Keys and values of 16 tokens in all layers on one GPU; with more GPUs than KV heads, heads are repeated."""
    heads = max(1, shape.kv_heads // config.vllm.tensor_parallel_size)
    return 2 * shape.layers * BLOCK_TOKENS * heads * shape.head_dim * element_size(config)
