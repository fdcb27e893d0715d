"""Memory of a GPU while the policy trains, and while the engines generate.

Boundary: adds up `states`, `activations` and `engine` for the actors that share the GPU, asleep or awake.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.planning import activations
from prepo_rlhf.planning.cluster import GIB, Cluster
from prepo_rlhf.planning.engine import Engine
from prepo_rlhf.planning.model_shape import ModelShape
from prepo_rlhf.planning.states import States, policy_states, reference_states

MORE_GPUS = "more GPUs for the policy (--actor.num_nodes, --actor.num_gpus_per_node)"


class Part(NamedTuple):
    """Bytes of one thing on a GPU, while the policy trains and while engines generate."""

    name: str
    training: int
    generating: int


class GpuMemory(NamedTuple):
    """A GPU that these roles share ("policy", "reference", "engine"). `host` is what they keep in its node's memory."""

    roles: tuple[str, ...]
    parts: list[Part]
    host: int

    @property
    def training(self) -> int:
        return sum(part.training for part in self.parts)

    @property
    def generating(self) -> int:
        return sum(part.generating for part in self.parts)


def gpu_memory(
    roles: tuple[str, ...], shape: ModelShape, config: Config, engine: Engine, reserved: int
) -> GpuMemory:
    """The memory of one GPU, part by part.

    A sleeping policy (`--ds.enable_sleep`) leaves its weights on the GPU while engines generate; a sleeping engine
    (`--vllm.enable_sleep`) leaves nothing there, and its weights in the host's memory.
    """
    host = 0
    # An engine's share holds its own workspace.
    parts = [] if roles == ("engine",) else [Part("reserve", reserved, reserved)]
    if "engine" in roles:
        sleeps = config.vllm.enable_sleep
        host += engine.weights if sleeps else 0
        parts.append(Part("engine: weights and KV cache", 0 if sleeps else engine.taken, engine.taken))
    if "reference" in roles:
        states = reference_states(shape, config)
        host += states.host
        parts.append(Part("reference: weights", states.weights, states.weights))
        if "policy" not in roles:
            tokens = activations.experience_tokens(config)
            at_work = activations.experience_pass_bytes(shape, config, tokens) + states.buckets
            parts.append(Part("reference: a forward pass", at_work, 0))
    if "policy" in roles:
        states = policy_states(shape, config)
        host += states.host
        if config.ds.enable_sleep:
            host += states.gradients + states.optimizer
        parts += _policy_parts(shape, config, states)
    return GpuMemory(roles, parts, host)


def _policy_parts(shape: ModelShape, config: Config, states: States) -> list[Part]:
    asleep = config.ds.enable_sleep
    tokens, read = activations.micro_batch_tokens(config), activations.experience_tokens(config)
    kept = activations.kept_bytes(shape, config, tokens)
    in_head, in_layer = activations.head_bytes(shape, config, tokens), activations.in_layer_bytes(shape, config, tokens)
    # Passes and the optimizer's step come one after another: only the larger counts.
    step = max(states.update, activations.experience_pass_bytes(shape, config, read) + states.buckets)
    step_left = max(0, step - states.buckets - kept - max(in_head, in_layer))
    return [
        Part("policy: weights", states.weights, states.weights),
        Part("policy: gradients", states.gradients, 0 if asleep else states.gradients),
        Part("policy: optimizer", states.optimizer, 0 if asleep else states.optimizer),
        Part("policy: DeepSpeed's buckets, gathered layers", states.buckets, 0),
        Part("policy: activations kept for backward", kept, 0),
        Part("policy: output head, or one layer in backward", max(in_head, in_layer), 0),
        Part("policy: what the optimizer's step or the pass for old log-probs takes beyond", step_left, 0),
    ]


def memory_problems(memory: GpuMemory, config: Config, cluster: Cluster) -> Iterator[str]:
    """Why this GPU can't hold what is on it, and which options would change that."""
    for phase, needed, remedies in (
        ("while the policy trains", memory.training, _training_remedies(memory, config)),
        ("while the engines generate", memory.generating, _generating_remedies(memory, config)),
    ):
        if needed > cluster.gpu_bytes:
            tried = ", ".join(remedy for remedy, helps in remedies.items() if helps)
            yield (
                f"a GPU of {' + '.join(memory.roles)} needs {needed / GIB:.1f} GiB {phase} and has "
                f"{cluster.gpu_memory:g}: try {tried}"
            )


def _training_remedies(memory: GpuMemory, config: Config) -> dict[str, bool]:
    """Each with whether it helps; the same for generating."""
    dynamic, train = config.train.dynamic_batch_enable, config.train
    return {
        "--vllm.enable_sleep": "engine" in memory.roles and not config.vllm.enable_sleep,
        "--ds.zero_stage 3": config.ds.zero_stage < 3,
        "--actor.gradient_checkpointing_enable": not config.actor.gradient_checkpointing_enable,
        "a lower --train.max_tokens_per_gpu": dynamic and train.max_tokens_per_gpu > config.data.max_len,
        "a lower --train.micro_batch_size": not dynamic and train.micro_batch_size > 1,
        "--ds.adam_offload": not config.ds.adam_offload,
        "a lower --data.max_len": True,
        MORE_GPUS: True,
    }


def _generating_remedies(memory: GpuMemory, config: Config) -> dict[str, bool]:
    return {
        "--ds.enable_sleep": "policy" in memory.roles and not config.ds.enable_sleep,
        "a lower --vllm.gpu_memory_utilization": "engine" in memory.roles,
        "--ds.zero_stage 3": config.ds.zero_stage < 3,
        MORE_GPUS: True,
    }
