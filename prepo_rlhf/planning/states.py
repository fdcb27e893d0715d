"""Model states of policy and reference between passes, on a GPU and in the host's memory, in bytes.

By ZeRO stage after Rajbhandari et al. 2020 (arXiv 1910.02054, section 3.1 and figure 1), as DeepSpeed 0.19
holds them: weights and gradients in the model's type, a float32 copy and Adam's two moments split over the ranks. A
test counts the tensors of real DeepSpeed engines. Muon, which keeps less, is counted as Adam.
Boundary: sizes in, bytes out.
"""

from __future__ import annotations

from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.planning.activations import FLOAT32, element_size
from prepo_rlhf.planning.model_shape import ModelShape

# DeepSpeed's defaults, in elements, which OpenRLHF leaves as they are.
REDUCE_BUCKET, LIVE_PARAMETERS, SUB_GROUP = 500_000_000, 1_000_000_000, 1_000_000_000


class States(NamedTuple):
    """Of one rank. `buckets` are DeepSpeed's buffers during backward, `update` is added while the optimizer steps."""

    weights: int
    gradients: int
    optimizer: int
    buckets: int = 0
    update: int = 0
    host: int = 0


def policy_states(shape: ModelShape, config: Config) -> States:
    """One rank of the policy."""
    ds, element = config.ds, element_size(config)
    ranks = config.actor.num_nodes * config.actor.num_gpus_per_node
    trainable, in_float32 = shape.trainable, ds.param_dtype == "fp32"
    accumulated = {"fp32": 4, "bf16": 2, "fp16": 2}.get(ds.grad_accum_dtype or ds.param_dtype, element)
    weights = held_weights(shape, config, ranks)
    if ds.lora.rank:
        weights += trainable * element // (ranks if ds.zero_stage == 3 else 1)
    # Without ZeRO, float32 weights are their own master copy.
    master = 0 if ds.zero_stage == 0 and in_float32 else FLOAT32
    optimizer = trainable * (master + 2 * FLOAT32) // (ranks if ds.zero_stage else 1)
    gradients = trainable * accumulated // (ranks if ds.zero_stage >= 2 else 1)
    share = trainable // (ranks if ds.zero_stage else 1)
    update = FLOAT32 * (min(share, SUB_GROUP) if ds.zero_stage == 3 else share)
    host = 0
    if ds.adam_offload and ds.zero_stage:
        # Gradients go to the host in float32, where the optimizer is.
        host, optimizer, update = optimizer + FLOAT32 * share, 0, 0
        gradients = gradients if ds.zero_stage == 1 else 0
    host += shape.parameters * element // (ranks if ds.zero_stage == 3 else 1) if config.train.enable_ema else 0
    return States(weights, gradients, optimizer, _buckets(shape, config, accumulated), update, host)


def reference_states(shape: ModelShape, config: Config) -> States:
    """One rank of the reference model; DeepSpeed can only move its weights to the host under ZeRO-3."""
    ranks = config.ref.num_nodes * config.ref.num_gpus_per_node
    weights = held_weights(shape, config, ranks)
    gathered = _gathered(shape, config)
    if config.ref.offload and config.ds.zero_stage == 3:
        return States(weights=0, gradients=0, optimizer=0, buckets=gathered, host=weights)
    return States(weights, gradients=0, optimizer=0, buckets=gathered)


def held_weights(shape: ModelShape, config: Config, ranks: int) -> int:
    """A rank's part of the weights between passes."""
    return shape.parameters * element_size(config) // (ranks if config.ds.zero_stage == 3 else 1)


def _buckets(shape: ModelShape, config: Config, accumulated: int) -> int:
    """Reduce buckets of gradients, and under ZeRO-3 the layers that are gathered at a time."""
    if config.ds.zero_stage == 0:
        return 0
    return REDUCE_BUCKET * accumulated * (2 if config.ds.overlap_comm else 1) + _gathered(shape, config)


def _gathered(shape: ModelShape, config: Config) -> int:
    if config.ds.zero_stage < 3:
        return 0
    return min(shape.parameters, LIVE_PARAMETERS) * element_size(config)
