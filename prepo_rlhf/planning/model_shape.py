"""A model's sizes from its config.json: the model is made without weights, and its parameters counted.

Boundary: no weight is read. The models of `known_models` are counted by `decoder`, without a network or the training
stack; for others, transformers and torch's meta device, inside functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prepo_rlhf.backends.missing import missing_library
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.model_limits import check_length
from prepo_rlhf.planning import decoder
from prepo_rlhf.planning.known_models import KNOWN_MODELS
from prepo_rlhf.planning.no_formula import check_dense_text_model

if TYPE_CHECKING:
    from prepo_rlhf.files.model_files import ModelFiles


class ModelShape(NamedTuple):
    """A dense decoder."""

    parameters: int  # tied embeddings count once
    trainable: int  # those that get gradients: all, or LoRA's adapters, which are not among `parameters`
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # the output head is the input embedding
    normalises_heads: bool  # queries and keys go through a norm of their own (Qwen3)

    @property
    def multiplied(self) -> int:
        """Parameters that a token is multiplied with: all but an input embedding that is only looked up in."""
        return self.parameters - (0 if self.tied else self.vocabulary * self.hidden)


def model_shape(config: Config) -> ModelShape:
    """The shape of `--actor.model_name_or_path`, with the adapters that `--ds.lora.rank` asks for; ConfigError if there
    is no such model, it is no dense decoder, or it can't read `--data.max_len` tokens."""
    name = config.actor.model_name_or_path
    if name in KNOWN_MODELS and not Path(name).is_dir():
        return _known_shape(name, config)
    files = _files(name, config.actor.trust_remote_code)
    described = _description(files)
    check_dense_text_model(name, described)
    files.check_length(described, "--data.max_len", config.data.max_len)
    model = files.empty(described)
    parameters, lora = model.num_parameters(), config.ds.lora
    return ModelShape(
        parameters=parameters,
        trainable=adapter_parameters(model, lora.rank, lora.target_modules) if lora.rank else parameters,
        hidden=described.hidden_size,
        intermediate=described.intermediate_size,
        layers=described.num_hidden_layers,
        heads=described.num_attention_heads,
        kv_heads=getattr(described, "num_key_value_heads", None) or described.num_attention_heads,
        head_dim=getattr(described, "head_dim", None) or described.hidden_size // described.num_attention_heads,
        vocabulary=described.vocab_size,
        tied=described.tie_word_embeddings,
        normalises_heads=any(key.endswith(".q_norm.weight") for key, _ in model.named_parameters()),
    )


def adapter_parameters(model: Any, rank: int, targets: str | list[str]) -> int:
    """Parameters of LoRA's adapters: rank x (inputs + outputs) for each linear layer adapted (arXiv 2106.09685).

    `targets`: last parts of the layers' names, or all-linear, which leaves out the output head as PEFT does.
    """
    from torch import nn

    head = model.get_output_embeddings()
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return sum(
        rank * (module.in_features + module.out_features)
        for name, module in linear
        if (module is not head if targets == "all-linear" else name.rsplit(".", 1)[-1] in targets)
    )


def _known_shape(name: str, config: Config) -> ModelShape:
    sizes, lora, model = KNOWN_MODELS[name], config.ds.lora, f"--actor.model_name_or_path {name}"
    check_length(model, sizes["max_position_embeddings"], "--data.max_len", config.data.max_len)
    parameters = decoder.parameters(sizes)
    return ModelShape(
        parameters=parameters,
        trainable=decoder.adapter_parameters(sizes, lora.rank, lora.target_modules) if lora.rank else parameters,
        hidden=sizes["hidden_size"],
        intermediate=sizes["intermediate_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        kv_heads=sizes["num_key_value_heads"],
        head_dim=decoder.head_dim(sizes),
        vocabulary=sizes["vocab_size"],
        tied=sizes["tie_word_embeddings"],
        normalises_heads=sizes["model_type"] == "qwen3",
    )


def _files(name: str, trusted: bool) -> ModelFiles:
    try:
        from prepo_rlhf.files.model_files import ModelFiles
    except ModuleNotFoundError as error:
        if not (told := missing_library(error)):
            raise
        known = ", ".join(KNOWN_MODELS)
        raise ConfigError(f"--actor.model_name_or_path {name}: {told}; or plan one of {known}") from error
    return ModelFiles(name, trusted)


def _description(files: ModelFiles) -> Any:
    """The model's configuration as transformers reads it."""
    try:
        return files.config()
    except ConfigError as error:
        if Path(files.name).is_dir():
            raise
        raise ConfigError(f"{error}; without a network give a folder, or one of {', '.join(KNOWN_MODELS)}") from error
