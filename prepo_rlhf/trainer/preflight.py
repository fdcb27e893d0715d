"""Checks before the start: a job's files, its data, its reward and its checkpoints, before Ray or a model is started.

Boundary: reads and loads; what it has loaded is handed on as `Prepared`.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import warn

import yaml

from prepo_rlhf.backends import flash_attention
from prepo_rlhf.config import Config, ConfigError, from_dict
from prepo_rlhf.config.base import differences
from prepo_rlhf.config.files import flatten
from prepo_rlhf.files import checkpoint_manifest
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.prompts.load import PromptSet, load_prompts, load_tokenizer
from prepo_rlhf.rewards.contract import RewardError
from prepo_rlhf.rewards.extraction import gold_answer
from prepo_rlhf.rewards.sources import MATH, check_reward

CHECKPOINT_CONFIG = "config.yaml"
# A checkpoint means nothing under other values of these.
RESUME_OPTIONS = (
    "actor.model_name_or_path", "actor.num_nodes", "actor.num_gpus_per_node", "data.prompt_dataset",
    "data.prompt_split", "data.max_samples", "data.max_len", "data.input_key", "data.input_template",
    "data.apply_chat_template", "data.chat_template_kwargs", "ds.zero_stage", "ds.lora.rank", "rollout.batch_size",
    "rollout.n_samples_per_prompt", "rollout.max_new_tokens", "train.batch_size", "train.num_episodes", "train.seed",
    "prepo.selector", "prepo.pacing", "prepo.ppl_length_bins", "prepo.candidate_batch_size",
)  # fmt: skip


@dataclass
class Prepared:
    """What the checks have loaded and found out on the way; `resume_tag` names the checkpoint to go on from."""

    tokenizer: Any
    train: PromptSet
    evaluation: PromptSet | None
    resume_tag: str | None


def prepare(config: Config) -> Prepared:
    """Check the job's files and load its prompts.

    Raises:
        ConfigError: naming the option and what to do.
    """
    _check_writable("--logger.run_dir", config.logger.run_dir)
    _check_writable("--ckpt.path", config.ckpt.path)
    _check_attention(config)
    _check_reward(config)
    resume_tag = find_checkpoint(config)
    ModelFiles(config.actor.model_name_or_path, config.actor.trust_remote_code).check()
    tokenizer = load_tokenizer(config)
    train = load_prompts(config, tokenizer)
    if len(train) < config.prepo.candidate_batch_size:
        raise ConfigError(
            f"--prepo.candidate_batch_size {config.prepo.candidate_batch_size}: the dataset has only {len(train)} "
            "prompts that fit; lower it (and --rollout.batch_size), or give more data"
        )
    evaluation = load_prompts(config, tokenizer, evaluation=True) if config.eval.dataset else None
    if config.reward.remote_url == MATH:
        _check_golds("--data.prompt_dataset", train)
        _check_golds("--eval.dataset", evaluation)
    return Prepared(tokenizer, train, evaluation, resume_tag)


def checkpoint_folder(config: Config) -> Path:
    """Where DeepSpeed's checkpoints are, as in OpenRLHF."""
    return Path(config.ckpt.path) / "_actor"


def find_checkpoint(config: Config) -> str | None:
    """The checkpoint that `--ckpt.load_enable` goes on from, which is whole; None to start afresh.

    Raises:
        ConfigError: it was made under other options, naming each, or all checkpoints are damaged.
    """
    if not config.ckpt.load_enable:
        return None
    try:
        found = checkpoint_manifest.find_resumable(checkpoint_folder(config))
    except checkpoint_manifest.DamagedCheckpoints as damaged:
        raise ConfigError(
            f"--ckpt.load_enable: no checkpoint in {config.ckpt.path} can be gone on from ({damaged}): "
            "bring back a whole copy, or give another --ckpt.path to start afresh"
        ) from damaged
    for fault in found.passed_over:
        warn(f"--ckpt.load_enable: passed over {fault}; going on from {found.tag}", stacklevel=2)
    if found.tag is not None:
        _check_options(config)
    return found.tag


def _check_options(config: Config) -> None:
    saved = from_dict(yaml.safe_load((Path(config.ckpt.path) / CHECKPOINT_CONFIG).read_text()))
    now = dict(flatten(config.to_dict()))
    changed = differences(dict(flatten(saved.to_dict())), {name: now[name] for name in RESUME_OPTIONS})
    if changed:
        raise ConfigError(
            f"--ckpt.load_enable: the checkpoint in {config.ckpt.path} is of other options: {'; '.join(changed)}. "
            "Give the old values, or another --ckpt.path to start afresh"
        )


def _check_writable(option: str, folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{option} {folder}: cannot be written ({error.strerror})") from error


def _check_attention(config: Config) -> None:
    if flash_attention.installed():
        return
    if config.ds.ring_attn_size > 1:
        raise ConfigError(f"--ds.ring_attn_size {config.ds.ring_attn_size}: needs flash-attn, which is not installed")
    if "flash_attention" in config.ds.attn_implementation:
        raise ConfigError(
            f"--ds.attn_implementation {config.ds.attn_implementation}: flash-attn is not installed; use `sdpa`"
        )


def _check_reward(config: Config) -> None:
    agent = config.train.agent_func_path
    if agent and not Path(agent).is_file():
        raise ConfigError(f"--train.agent_func_path: there is no file {agent}")
    if not agent:
        try:
            check_reward(config.reward.remote_url)
        except RewardError as error:
            raise ConfigError(str(error)) from error


def _check_golds(option: str, data: PromptSet | None) -> None:
    """Refuse prompts without a reference answer, which no response could earn a reward on."""
    missing = [prompt for prompt in data.prompts if not gold_answer(prompt.label)] if data else []
    if data and missing:
        places = ", ".join(data.places[prompt.row] for prompt in missing[:5])
        raise ConfigError(
            f"--reward.remote_url math: {len(missing)} rows of {option} have no reference answer ({places}"
            f"{', ...' if len(missing) > 5 else ''}), the first with the prompt {missing[0].text[:80]!r}: complete or "
            "remove them, or check --data.label_key"
        )
