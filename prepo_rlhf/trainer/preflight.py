"""Checks before the start: a job's files, its data, its reward and its checkpoints, before Ray or a model is started.

Boundary: reads and loads; what it has loaded is handed on as `Prepared`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from prepo_rlhf.backends import flash_attention, vllm_arguments
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.config.engine_args import engine_args
from prepo_rlhf.files import save_trial
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.run_start import Start, find_start
from prepo_rlhf.files.user_code import UserCodeError
from prepo_rlhf.prompts.load import PromptSet, load_prompts, load_tokenizer
from prepo_rlhf.prompts.render import training_style
from prepo_rlhf.prompts.stops import Stops, find_stops
from prepo_rlhf.rewards.agents import load_agent_class
from prepo_rlhf.rewards.extraction import gold_answer
from prepo_rlhf.rewards.sources import MATH, check_reward
from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.registry import make_selector


@dataclass
class Prepared:
    """What the checks have loaded and found out on the way."""

    start: Start
    selector: PromptSelector
    tokenizer: Any
    stops: Stops
    train: PromptSet
    evaluation: PromptSet | None
    prompts_digest: str


def prepare(config: Config) -> Prepared:
    """Check the job's files and load its prompts.

    Raises:
        ConfigError: naming the option and what to do.
    """
    _check_writable("--logger.run_dir", config.logger.run_dir)
    _check_writable("--ckpt.path", config.ckpt.path)
    _check_writable("--ckpt.output_dir", config.ckpt.output_dir)
    _check_kernels(config)
    vllm_arguments.check("--vllm.engine_args", engine_args(config.vllm.engine_args))
    _check_reward(config)
    start = find_start(config)
    config = start.config
    selector = make_selector(config.prepo, config.train.seed)
    _check_selector(config, selector)
    files = ModelFiles(config.actor.model_name_or_path, config.actor.trust_remote_code)
    model = files.check()
    files.check_trainable(model.config)
    files.check_length(model.config, "--data.max_len", config.data.max_len)
    tokenizer = load_tokenizer(config)
    stops = _find_stops(config, tokenizer, files, model)
    train = load_prompts(config, tokenizer)
    if len(train) < config.prepo.candidate_batch_size:
        raise ConfigError(
            f"--prepo.candidate_batch_size {config.prepo.candidate_batch_size}: the dataset has only {len(train)} "
            "prompts that fit; lower it (and --rollout.batch_size), or give more data"
        )
    digest = _digest(train)
    if start.prompts and start.prompts != digest:
        raise ConfigError(
            "--ckpt.load_enable: the prompts of --data.prompt_dataset are others than those that the checkpoint "
            f"{start.tag} was trained on: bring back the data as it was, or give another --ckpt.path to start afresh"
        )
    evaluation = load_prompts(config, tokenizer, evaluation=True) if config.eval.dataset else None
    for option, data in (("--data.prompt_dataset", train), ("--eval.dataset", evaluation)):
        rows = ((data.places[prompt.row], prompt.token_ids) for prompt in data.prompts) if data else ()
        files.check_token_ids(model.config, tokenizer, option, rows)
    if config.reward.remote_url == MATH:
        _check_golds("--data.prompt_dataset", train)
        _check_golds("--eval.dataset", evaluation)
    save_trial.try_saving(config, files, model, tokenizer)
    save_trial.warn_of_full_disk(config, model)
    return Prepared(start, selector, tokenizer, stops, train, evaluation, digest)


def _check_writable(option: str, folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{option} {folder}: cannot be written ({error.strerror})") from error


def _check_kernels(config: Config) -> None:
    if config.ds.use_liger_kernel and find_spec("liger_kernel") is None:
        raise ConfigError("--ds.use_liger_kernel: needs liger-kernel, which is not installed; install or remove it")
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
    try:
        if agent:
            load_agent_class(agent)
        else:
            check_reward(config.reward.remote_url)
    except UserCodeError as error:
        raise ConfigError(str(error)) from error


def _check_selector(config: Config, selector: PromptSelector) -> None:
    """What the options alone cannot tell of a selector in a user's file."""
    option = f"--prepo.selector {config.prepo.selector}"
    if config.algo.advantage.estimator == "posterior" and not selector.predicts:
        raise ConfigError(
            f"--algo.advantage.estimator posterior: {option} predicts no pass rate to have in the baseline; give its "
            "class `predicts = True` and a method predict, or take another estimator"
        )
    if config.train.async_enable and selector.needs_entropies:
        raise ConfigError(
            f"{option} needs entropies: with --train.async_enable the policy is being trained while it would compute "
            "them; remove one of them"
        )
    if config.rollout.n_samples_per_prompt < 2 and selector.drops_zero_variance:
        raise ConfigError(
            f"--rollout.n_samples_per_prompt {config.rollout.n_samples_per_prompt}: {option} drops groups of equal "
            "rewards, so every group of one; give at least 2"
        )


def _digest(data: PromptSet) -> str:
    """Of the prompts, their order and their labels: a checkpoint knows prompts by their row."""
    parts = (repr((prompt.row, prompt.text, prompt.label)) for prompt in data.prompts)
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()


def _find_stops(config: Config, tokenizer: Any, files: ModelFiles, model: Any) -> Stops:
    stops = find_stops(training_style(config.data), config.rollout.stop, "--rollout.stop", tokenizer, files, model)
    if stops.texts and config.train.full_determinism_enable:
        raise ConfigError(
            f"--rollout.stop {stops.texts[0]!r}: is no special token, so it is found in the text beside the engine, at "
            "a moment that no --train.full_determinism_enable can fix: remove one of them"
        )
    return stops


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
