"""Derives the options of a run from those given: a pure function of options and machine, whose result is final.

Values that follow from others, with OpenRLHF's implied settings and warnings; then what depends on the machine.
Boundary: standard library only; of files it knows whether they exist, of machines what a `Machine` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any, Literal, get_type_hints
from warnings import warn

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import json_object
from prepo_rlhf.config.input_template import keeps_doubled_braces
from prepo_rlhf.config.models import ActorOptions
from prepo_rlhf.config.root import Config, GivenConfig

# K / |B| = 20% in PREPO, arXiv 2511.00794.
CANDIDATES_PER_PROMPT = 5
# What actors open, in whichever folder and on whichever node Ray has started them.
PATHS_READ = ("actor.model_name_or_path", "reward.remote_url", "train.agent_func_path")
PATHS_WRITTEN = ("ckpt.path", "ckpt.output_dir")

Changes = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Machine:
    """What options depend on where a job runs; relative paths are relative to `folder`."""

    backend: Literal["cpu", "cuda"]
    has_flash_attention: bool
    folder: str


def resolve(given: GivenConfig, machine: Machine) -> Config:
    """The options of a run on `machine`; `given` stays as it is. Doing it twice changes nothing.

    Raises ConfigError for options that contradict each other before a value can be derived.
    """
    complete = completed(given)
    complete = complete.replaced(dict(_on_machine(complete, machine)))
    kinds = get_type_hints(Config)
    values = {field.name: getattr(complete, field.name) for field in fields(Config)}
    groups = {name: kinds[name](**vars(value)) for name, value in values.items() if is_dataclass(value)}
    return Config(**values | groups)


def completed(given: GivenConfig) -> GivenConfig:
    """The options with all that follows from others on any machine; what depends on it is left as given."""
    _warn_of_kl(given)
    for rule in (_clip_range, _advantage, _reward_source, _prompt_template, _engine_args, _stops, _packing, _placement,
                 _lora, _defaults):  # fmt: skip
        given = given.replaced(dict(rule(given)))
    return given


def _clip_range(c: GivenConfig) -> Changes:
    eps, given = c.actor.eps_clip, tuple(c.actor.eps_clip_low_high)
    if eps is None:
        return
    if given not in (ActorOptions.eps_clip_low_high, (eps, eps)):
        raise ConfigError(f"--actor.eps_clip {eps} and --actor.eps_clip_low_high {given} differ: give only one of them")
    yield "actor.eps_clip_low_high", (eps, eps)


def _advantage(c: GivenConfig) -> Changes:
    estimator, gamma = c.algo.advantage.estimator, c.algo.advantage.gamma
    threshold = tuple(c.algo.advantage.is_correction_threshold)
    if len(threshold) not in (1, 2):
        raise ConfigError(f"--algo.advantage.is_correction_threshold {threshold}: give HIGH, or LOW HIGH")
    yield "algo.advantage.is_correction_threshold", (0.0, *threshold) if len(threshold) == 1 else threshold
    if gamma != 1 and estimator != "reinforce":
        warn(f"--algo.advantage.gamma {gamma}: {estimator} does not discount, so it is 1", stacklevel=3)
        yield "algo.advantage.gamma", 1.0


def _reward_source(c: GivenConfig) -> Changes:
    if c.train.agent_func_path:
        if c.reward.remote_url not in (None, "agent"):
            warn("--train.agent_func_path computes the rewards: --reward.remote_url is ignored", stacklevel=3)
        yield "reward.remote_url", "agent"


def _prompt_template(c: GivenConfig) -> Changes:
    _warn_of_template(c.data.input_template or "")
    return _one_spelling("data.chat_template_kwargs", c.data.chat_template_kwargs)


def _engine_args(c: GivenConfig) -> Changes:
    return _one_spelling("vllm.engine_args", c.vllm.engine_args)


def _one_spelling(name: str, text: str | None) -> Changes:
    """Of a JSON object."""
    try:
        yield name, json_object(text)
    except ValueError:  # told by `check`
        return


def _warn_of_template(template: str) -> None:
    if "\\n" in template:
        warn("--data.input_template holds a backslash and an n, no line break: in bash, write $'a\\nb'", stacklevel=4)
    if keeps_doubled_braces(template):
        warn("--data.input_template: its doubled braces, beside single ones, stay two: they are text", stacklevel=4)


def _stops(c: GivenConfig) -> Changes:
    if isinstance(c.rollout.stop, str):
        yield "rollout.stop", [c.rollout.stop]


def _packing(c: GivenConfig) -> Changes:
    packing, ring = c.ds.packing_samples, c.ds.ring_attn_size > 1
    if not packing and (ring or c.train.dynamic_batch_enable):
        implied_by = "--ds.ring_attn_size above 1" if ring else "--train.dynamic_batch_enable"
        warn(f"{implied_by} needs --ds.packing_samples: it is switched on", stacklevel=3)
        packing = True
        yield "ds.packing_samples", True
    if packing and c.ds.attn_implementation == "sdpa":
        yield "ds.attn_implementation", "packed_sdpa"


def _placement(c: GivenConfig) -> Changes:
    if c.vllm.enable_sleep and not c.train.colocate_all:
        warn("--vllm.enable_sleep only works with --train.colocate_all: it is switched off", stacklevel=3)
        yield "vllm.enable_sleep", False
    if c.train.colocate_all and c.train.async_enable:
        warn("--train.colocate_all with --train.async_enable leaves the engines on their own GPUs", stacklevel=3)
    elif c.train.colocate_all and c.vllm.sync_backend == "nccl":
        # NCCL refuses two ranks on one GPU; OpenRLHF takes CUDA IPC for these options as well.
        yield "vllm.sync_backend", "ipc"
    if c.vllm.num_engines is None:
        shared = c.train.colocate_all and not c.train.async_enable
        gpus = c.actor.num_nodes * c.actor.num_gpus_per_node if shared else 1
        yield "vllm.num_engines", max(1, gpus // max(1, c.vllm.tensor_parallel_size))  # a size of 0 is told by `check`


def _lora(c: GivenConfig) -> Changes:
    modules = c.ds.lora.target_modules
    if modules == ["all-linear"]:
        yield "ds.lora.target_modules", "all-linear"
    elif isinstance(modules, str) and modules != "all-linear":
        # PEFT reads a lone string as a pattern for the full name of a module; here it is always a module's name.
        yield "ds.lora.target_modules", [modules]


def _defaults(c: GivenConfig) -> Changes:
    # vLLM keeps the blocks of running requests when weights change in mid-generation, and they would outlive their
    # weights; and what is found in the cache depends on when memory ran short.
    if c.train.partial_rollout_enable or c.train.full_determinism_enable:
        yield "vllm.enable_prefix_caching", False
    if c.logger.wandb.key:
        yield "logger.wandb.enable", True
    if not c.rollout.vllm_generate_batch_size:
        yield "rollout.vllm_generate_batch_size", c.rollout.batch_size
    if c.rollout.max_tokens_per_gpu is None:
        yield "rollout.max_tokens_per_gpu", c.train.max_tokens_per_gpu
    if c.prepo.candidate_batch_size is None:
        yield "prepo.candidate_batch_size", CANDIDATES_PER_PROMPT * c.rollout.batch_size
    if c.prepo.allocation == "pilot" and c.prepo.pilot_samples is None:
        yield "prepo.pilot_samples", max(2, c.rollout.n_samples_per_prompt // 2)
    if c.logger.tensorboard_dir is None:
        yield "logger.tensorboard_dir", os.path.join(c.logger.run_dir, "tensorboard")


def _warn_of_kl(c: GivenConfig) -> None:
    kl = c.algo.kl
    if kl.init_coef == 0:
        if kl.use_loss:
            warn("--algo.kl.use_loss does nothing while --algo.kl.init_coef is 0", stacklevel=3)
    elif kl.use_loss and not kl.unbiased_gradient and kl.estimator == "k1":
        warn("--algo.kl.estimator k1 has no gradient towards the reference as a loss: take k2 or k3", stacklevel=3)
    elif not kl.use_loss and kl.estimator != "k1":
        warn(f"--algo.kl.estimator {kl.estimator} is meant for --algo.kl.use_loss: take k1", stacklevel=3)


def _on_machine(c: GivenConfig, machine: Machine) -> Changes:
    yield "backend", machine.backend
    for name in (*PATHS_READ, *PATHS_WRITTEN):
        if path := attrgetter(name)(c):
            path = os.path.abspath(os.path.join(machine.folder, path))
            if name in PATHS_WRITTEN or os.path.exists(path):  # else a name of Hugging Face, or an URL
                yield name, path
    if c.ds.attn_implementation is None:
        yield "ds.attn_implementation", _attention(c, machine)
    if machine.backend == "cpu":  # what only a GPU can do: CUDA graphs, and freeing its memory between phases
        yield from {"vllm.enforce_eager": True, "vllm.enable_sleep": False, "ds.enable_sleep": False}.items()


def _attention(c: GivenConfig, machine: Machine) -> str:
    # Ring attention is flash attention, so that a job without it is told what is missing.
    if c.ds.param_dtype != "fp32" and (machine.has_flash_attention or c.ds.ring_attn_size > 1):
        return "flash_attention_2"
    return "packed_sdpa" if c.ds.packing_samples else "sdpa"
