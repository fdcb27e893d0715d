"""The trained model saved before there is one: the same functions, the same files but the weights, the same disk.

Boundary: writes into a temporary folder, and removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.empty_model import make_savable, quietly
from prepo_rlhf.files.model_files import ModelFiles

GB = 1e9
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
OPTIMIZER_BYTES = 12  # of a weight that is trained: itself and Adam's two moments in float32


def try_saving(config: Config, files: ModelFiles, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Save `model`, which is without weights, and the tokenizer as at the end of training; load and remove them.

    Raises:
        ConfigError: that fails, or --ckpt.output_dir has no room for the weights.
    """
    output = config.ckpt.output_dir
    weights = BYTES[config.ds.param_dtype] * sum(weight.numel() for weight in model.parameters())
    free = shutil.disk_usage(output).free
    if free < weights:
        raise ConfigError(
            f"--ckpt.output_dir {output}: has {free / GB:,.1f} GB free, and the trained model takes "
            f"{weights / GB:,.1f} GB (--ds.param_dtype {config.ds.param_dtype}): free some, or give a folder on "
            "another disk"
        )
    _make_savable(files, model)
    model.config.pad_token_id = tokenizer.pad_token_id  # as OpenRLHF does
    try:
        with quietly(), tempfile.TemporaryDirectory(prefix=".save_trial_", dir=output) as folder:
            model.save_pretrained(folder, state_dict={})
            tokenizer.save_pretrained(folder)
            _load(folder, files.trusted, tokenizer)
    except Exception as error:  # whatever the files of a stranger make transformers raise
        raise ConfigError(
            f"{files.option} {files.name}: after training this model could not be saved, or not be loaded again "
            f"({type(error).__name__}: {' '.join(str(error).split())}): correct its files"
        ) from error


def warn_of_full_disk(config: Config, model: PreTrainedModel) -> None:
    """Warn where --ckpt.path has no room for the checkpoints that a run may hold at a time."""
    options, lora = config.ckpt, config.ds.lora.rank > 0
    count = sum(weight.numel() for weight in model.parameters())
    weights, optimizer = BYTES[config.ds.param_dtype] * count, 0 if lora else OPTIMIZER_BYTES * count
    each = weights * options.save_hf + (0 if options.disable_ds else weights + optimizer)
    held = options.max_num + 1 if options.save_steps > 0 else 1  # an old one is removed when the new one is whole
    free = shutil.disk_usage(options.path).free
    if free < each * held:
        warnings.warn(
            f"--ckpt.path {options.path}: has {free / GB:,.1f} GB free, and the {held} checkpoints that this run may "
            f"hold there at a time (--ckpt.max_num {options.max_num}) take about {each * held / GB:,.1f} GB",
            stacklevel=2,
        )


def _make_savable(files: ModelFiles, model: Any) -> None:
    if not model.can_generate():
        return
    try:
        changed = make_savable(model.generation_config)
    except ValueError as error:
        raise ConfigError(
            f"{files.option} {files.name}: its {GENERATION_CONFIG_NAME} could not be saved with the trained model "
            f"({' '.join(str(error).split())}): correct it"
        ) from error
    if changed:
        warnings.warn(
            f"{files.option} {files.name}: its {GENERATION_CONFIG_NAME} sets a temperature, top_p or the like without "
            "do_sample, which can't be saved; the trained model gets do_sample true",
            stacklevel=3,
        )


def _load(folder: str, trusted: bool, tokenizer: PreTrainedTokenizerBase) -> None:
    AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
    if os.path.exists(os.path.join(folder, GENERATION_CONFIG_NAME)):
        GenerationConfig.from_pretrained(folder)
    loaded: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
    if len(loaded) != len(tokenizer) or loaded.eos_token_id != tokenizer.eos_token_id:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, and {len(loaded)} when it is loaded again")
