"""A model without its weights, on torch's meta device: whether config.json makes one, and its weights fit in.

Boundary: transformers makes and loads it as it would with weights, in milliseconds and next to no memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME
from transformers.utils import logging as transformers_logging

from prepo_rlhf.files.model_folder import ModelFault
from prepo_rlhf.files.model_limits import vocabulary_size

MOST_LAYERS = 1000  # several times those of any model; each takes time to make, even without weights


def make_empty(config: PretrainedConfig, trusted: bool) -> PreTrainedModel:
    """The model of `config`; whatever its values make transformers raise passes through."""
    layers = getattr(config.get_text_config(), "num_hidden_layers", 1)
    if not 1 <= layers <= MOST_LAYERS:
        raise ModelFault(f"its {CONFIG_NAME} says num_hidden_layers {layers}: correct it")
    # As OpenRLHF chooses.
    loader: Any = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    of_its_own = loader.__name__ in (getattr(config, "auto_map", None) or {})
    if config.is_encoder_decoder or type(config) not in loader._model_mapping and not of_its_own:
        raise ModelFault(
            f"its {CONFIG_NAME} describes a {config.model_type}, of which there is no causal language model (a decoder "
            "alone): only such can be trained and sampled"
        )
    with quietly(), torch.device("meta"):
        return loader.from_config(config, trust_remote_code=trusted)


def check_architecture(config: PretrainedConfig, model: PreTrainedModel) -> None:
    """Raise ModelFault unless config.json names the class of `model`: vLLM goes by that name, transformers by the
    model's type, and they must train and sample the same."""
    loaded, named = type(model).__name__, config.architectures or []
    if not named:
        raise ModelFault(f'{CONFIG_NAME} names no architectures, which vLLM goes by: add "architectures": ["{loaded}"]')
    if not model.is_remote_code() and _plain(loaded) not in map(_plain, named):
        raise ModelFault(
            f"{CONFIG_NAME} says that it is a {', '.join(map(str, named))}, and only a {loaded}, which predicts the "
            "next token, can be trained and sampled: give such a model"
        )


def fill(model: PreTrainedModel, shapes: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    """The model loaded from weights without content, which have names and shapes alone.

    Raises:
        ModelFault: weights are missing, or of other shapes than config.json says.
    """
    load: Any = type(model).from_pretrained
    with quietly():
        loaded, told = load(
            None, config=model.config, state_dict=dict(shapes), device_map="meta", ignore_mismatched_sizes=True,
            output_loading_info=True,
        )  # fmt: skip
    if told["mismatched_keys"]:
        name, there, wanted = min(told["mismatched_keys"])
        raise ModelFault(
            f"its weights are not those of its {CONFIG_NAME}, by which {name} is {list(wanted)}, where the weights "
            f"have {list(there)}: bring the files of one model together"
        )
    if told["missing_keys"]:
        raise ModelFault(
            f"its weights lack {len(told['missing_keys'])} of the tensors of its {CONFIG_NAME}, the first "
            f"{min(told['missing_keys'])}, which would be random numbers: bring the files of one model together"
        )
    if told["unexpected_keys"]:
        warnings.warn(
            f"{len(told['unexpected_keys'])} tensors of the weights have no place in the model of its {CONFIG_NAME}, "
            f"the first {min(told['unexpected_keys'])}",
            stacklevel=3,
        )
    return loaded


def load_generation_config(model: Any, name: str) -> None:
    """Give the model the generation config of `name` as from_pretrained does; ModelFault if it names tokens that the
    model does not know."""
    with quietly():
        model.adjust_generation_fn(
            None, True, False, name, cache_dir=None, force_download=False, proxies=None, local_files_only=False,
            token=None, revision="main", subfolder="", trust_remote_code=False,
        )  # fmt: skip
    size = vocabulary_size(model.config)
    for option in ("eos_token_id", "pad_token_id"):
        given = getattr(model.generation_config, option)
        ids = given if isinstance(given, list) else [] if given is None else [given]
        wrong = [number for number in ids if type(number) is not int or size is not None and number >= size]
        if wrong:
            raise ModelFault(
                f"{GENERATION_CONFIG_NAME} has {option} {given}, and {wrong[0]!r} is none of the {size} token ids that "
                "the model has embeddings for: correct it"
            )


def make_savable(generation_config: GenerationConfig) -> bool:
    """Whether `do_sample` had to be set, without which transformers refuses to save a temperature, top_p or the like;
    ValueError if that is not what is wrong."""
    try:
        generation_config.validate(strict=True)
    except ValueError:
        generation_config.do_sample = True
        generation_config.validate(strict=True)
        return True
    return False


def _plain(name: object) -> str:
    return str(name).replace("_", "").casefold()


@contextmanager
def quietly() -> Generator[None]:
    """Without transformers' progress bars, and its reports of what is checked here."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
