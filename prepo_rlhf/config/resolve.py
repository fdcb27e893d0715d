"""Completes the options: values that follow from others, with OpenRLHF's implied settings and warnings.

Boundary: standard library only; looks at the options alone, at no file and no machine.
"""

from __future__ import annotations

import os
from warnings import warn

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.models import ActorOptions
from prepo_rlhf.config.prompt_templates import TEMPLATES, as_format_string
from prepo_rlhf.config.root import Config

# K / |B| = 20% in PREPO, arXiv 2511.00794.
CANDIDATES_PER_PROMPT = 5


def resolve(config: Config) -> Config:
    """Fill in what is derived, in place, and return `config`. Doing it twice changes nothing.

    Raises ConfigError for options that contradict each other before a value can be derived.
    """
    _clip_range(config)
    _thresholds(config)
    _reward_source(config)
    _prompt_template(config)
    _packing(config)
    _placement(config)
    _prefix_caching(config)
    _kl(config)
    _lora(config)
    if config.logger.wandb.key:
        config.logger.wandb.enable = True
    if not config.rollout.vllm_generate_batch_size:
        config.rollout.vllm_generate_batch_size = config.rollout.batch_size
    if config.prepo.candidate_batch_size is None:
        config.prepo.candidate_batch_size = CANDIDATES_PER_PROMPT * config.rollout.batch_size
    if config.logger.tensorboard_dir is None:
        config.logger.tensorboard_dir = os.path.join(config.logger.run_dir, "tensorboard")
    return config


def _clip_range(config: Config) -> None:
    eps, given = config.actor.eps_clip, tuple(config.actor.eps_clip_low_high)
    if eps is None:
        return
    if given not in (ActorOptions.eps_clip_low_high, (eps, eps)):
        raise ConfigError(f"--actor.eps_clip {eps} and --actor.eps_clip_low_high {given} differ: give only one of them")
    config.actor.eps_clip_low_high = (eps, eps)


def _thresholds(config: Config) -> None:
    threshold = tuple(config.algo.advantage.is_correction_threshold)
    if len(threshold) not in (1, 2):
        raise ConfigError(f"--algo.advantage.is_correction_threshold {threshold}: give HIGH, or LOW HIGH")
    config.algo.advantage.is_correction_threshold = (0.0, *threshold) if len(threshold) == 1 else threshold


def _reward_source(config: Config) -> None:
    if not config.train.agent_func_path:
        return
    if config.reward.remote_url not in (None, "agent"):
        warn("--train.agent_func_path computes the rewards: --reward.remote_url is ignored", stacklevel=3)
    config.reward.remote_url = "agent"


def _prompt_template(config: Config) -> None:
    template = config.data.input_template
    if not template:
        return
    if template in TEMPLATES:
        config.data.input_template = as_format_string(TEMPLATES[template])
    elif "{}" not in template:
        warn("--data.input_template has no {} for the prompt: it is ignored", stacklevel=3)
        config.data.input_template = None
    elif "\\n" in template:
        warn("--data.input_template holds a backslash and an n, no line break: in bash, write $'a\\nb'", stacklevel=3)


def _packing(config: Config) -> None:
    if config.ds.ring_attn_size > 1 and not config.ds.packing_samples:
        warn("--ds.ring_attn_size above 1 needs --ds.packing_samples: it is switched on", stacklevel=3)
        config.ds.packing_samples = True
    if config.train.dynamic_batch_enable and not config.ds.packing_samples:
        warn("--train.dynamic_batch_enable needs --ds.packing_samples: it is switched on", stacklevel=3)
        config.ds.packing_samples = True
    if config.train.dynamic_batch_enable and config.rollout.max_tokens_per_gpu is None:
        config.rollout.max_tokens_per_gpu = config.train.max_tokens_per_gpu
    if config.ds.packing_samples and config.ds.attn_implementation == "sdpa":
        config.ds.attn_implementation = "packed_sdpa"


def _placement(config: Config) -> None:
    if config.vllm.enable_sleep and not config.train.colocate_all:
        warn("--vllm.enable_sleep only works with --train.colocate_all: it is switched off", stacklevel=3)
        config.vllm.enable_sleep = False
    if config.train.colocate_all and config.train.async_enable:
        warn("--train.colocate_all with --train.async_enable leaves the engines on their own GPUs", stacklevel=3)
    elif config.train.colocate_all and config.vllm.sync_backend == "nccl":
        # NCCL refuses two ranks on one GPU; OpenRLHF takes CUDA IPC for these options as well.
        config.vllm.sync_backend = "ipc"


def _prefix_caching(config: Config) -> None:
    # vLLM keeps the blocks of running requests when weights change in mid-generation, and they would outlive their
    # weights; and what is found in the cache depends on when memory ran short.
    if config.train.partial_rollout_enable or config.train.full_determinism_enable:
        config.vllm.enable_prefix_caching = False


def _kl(config: Config) -> None:
    kl = config.algo.kl
    if kl.init_coef == 0:
        if kl.use_loss:
            warn("--algo.kl.use_loss does nothing while --algo.kl.init_coef is 0", stacklevel=3)
    elif kl.use_loss and not kl.unbiased_gradient and kl.estimator == "k1":
        warn("--algo.kl.estimator k1 has no gradient towards the reference as a loss: take k2 or k3", stacklevel=3)
    elif not kl.use_loss and kl.estimator != "k1":
        warn(f"--algo.kl.estimator {kl.estimator} is meant for --algo.kl.use_loss: take k1", stacklevel=3)


def _lora(config: Config) -> None:
    modules = config.ds.lora.target_modules
    if modules == ["all-linear"]:
        config.ds.lora.target_modules = "all-linear"
    elif isinstance(modules, str) and modules != "all-linear":
        # PEFT reads a lone string as a pattern for the full name of a module; here it is always a module's name.
        config.ds.lora.target_modules = [modules]
