"""A model's files, checked before any of them is used: the one door of training, evaluation and plans.

A model may bring Python files that run when it is loaded, and pickled weights, which can hold code as well. Both are
refused unless the user trusts its authors. What is missing, broken, or fits neither the other files nor the job is
refused in any case.
Boundary: reads configs, tokenizers and the headers of weights, no weights. Of a model that is only a name on the hub,
the weights are looked at by those who download them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jinja2 import TemplateSyntaxError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME
from transformers.utils.hub import has_file

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files import empty_model, hub, model_folder
from prepo_rlhf.files.model_folder import ModelFault
from prepo_rlhf.files.model_limits import check_length, context_length, vocabulary_size

TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class ModelFiles:
    """A model by its folder or name, whether its authors are trusted, and the options that say so."""

    name: str
    trusted: bool
    option: str = "--actor.model_name_or_path"
    trust_option: str = "--actor.trust_remote_code"

    def check(self) -> PreTrainedModel:
        """The model without its weights (on the meta device), all of whose files are there and fit together.

        Raises:
            ConfigError: there is no such model, it is no causal language model, it needs a trust that was not given, or
                one of its files is missing, broken, or of another model.
        """
        config = self.config()
        if not self.trusted:
            self._refuse_code_and_pickles(config)
        model = self.empty(config)
        with self._told(f"its {CONFIG_NAME} or its weights can't be used"):
            empty_model.check_architecture(config, model)
            quantized = getattr(config, "quantization_config", None)  # in packed tensors, with names of their own
            shapes = model_folder.read_shapes(Path(self.name)) if Path(self.name).is_dir() else None
            if shapes and not quantized:
                model = empty_model.fill(model, shapes)
        with self._told(f"its {GENERATION_CONFIG_NAME} can't be used"):
            if model.can_generate():
                empty_model.load_generation_config(model, self.name)
        return model

    def config(self) -> PretrainedConfig:
        """The model's config, whatever its weights are; ConfigError as in `check`."""
        is_folder = Path(self.name).is_dir()
        with self._told(f"its {CONFIG_NAME} can't be used" if is_folder else "no folder, and no model of the hub"):
            if not is_folder:
                self._check_hub()
            model_folder.check_no_adapter(self.name)
            if is_folder:
                model_folder.check_folder(Path(self.name))
            return AutoConfig.from_pretrained(self.name, trust_remote_code=self.trusted)

    def _check_hub(self) -> None:
        if silent := hub.out_of_reach(self.name, CONFIG_NAME):
            raise ModelFault(
                f"is no folder and was not downloaded before, and the hub {silent}: check the network, or download the "
                "model first"
            )

    def empty(self, config: PretrainedConfig) -> PreTrainedModel:
        """The model of a config, without weights; ConfigError if there is none that could be trained."""
        with self._told(f"its {CONFIG_NAME} makes no causal language model"):
            return empty_model.make_empty(config, self.trusted)

    def tokenizer(self, use_fast: bool = True) -> PreTrainedTokenizerBase:
        """The model's tokenizer as it is; ConfigError as in `check`, or if it does not go with the model."""
        with self._told("no tokenizer can be loaded from its files"):
            loaded = AutoTokenizer.from_pretrained(self.name, trust_remote_code=self.trusted, use_fast=use_fast)
            tokenizer = cast(PreTrainedTokenizerBase, loaded)
            tokenizer.decode(tokenizer("1 + 1 = 2", add_special_tokens=False)["input_ids"])
            _check_template(tokenizer)
            self._check_special_tokens(tokenizer)
        return tokenizer

    def check_trainable(self, config: PretrainedConfig) -> None:
        """Raise ConfigError for quantized weights, which get no gradients and can't be sent to engines."""
        if quantized := getattr(config, "quantization_config", None):
            raise self._error(
                f"its {CONFIG_NAME} says that its weights are quantized ({' '.join(str(quantized).split())[:80]}), and "
                "such are not trained: give the model as it was before"
            )

    def check_length(self, config: PretrainedConfig, option: str, length: int) -> None:
        """Raise ConfigError if the model reads no text of `length` tokens, which `option` asks for."""
        with self._told(f"its {CONFIG_NAME} can't be used"):
            context = context_length(config)
        check_length(f"{self.option} {self.name}", context, option, length)

    def check_token_ids(
        self,
        config: PretrainedConfig,
        tokenizer: PreTrainedTokenizerBase,
        option: str,
        prompts: Iterable[tuple[str, Sequence[int]]],
    ) -> None:
        """Raise ConfigError for the first of `prompts` (its place, its token ids) with a token that the model does not
        know: one that was added to the tokenizer alone."""
        size = vocabulary_size(config)
        for place, token_ids in prompts:
            highest = max(token_ids, default=0)
            if size is not None and highest >= size:
                raise ConfigError(
                    f"{option}: {place} has the token {tokenizer.convert_ids_to_tokens(highest)!r} with the id "
                    f"{highest}, and {self.option} {self.name} has embeddings for {size} tokens: give the tokenizer "
                    "that belongs to the model, or a model that was resized (model.resize_token_embeddings) and "
                    "trained with this one"
                )

    def _check_special_tokens(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelFault(f"its tokenizer has no token that ends a text: give eos_token in {TOKENIZER_CONFIG}")
        size = vocabulary_size(self.config())
        for kind in ("eos_token", "pad_token"):
            number = getattr(tokenizer, f"{kind}_id")
            if number is not None and size is not None and number >= size:
                raise ModelFault(
                    f"the {kind} {getattr(tokenizer, kind)!r} of its tokenizer has the id {number}, and the model has "
                    f"embeddings for {size} tokens: name one that it knows in {TOKENIZER_CONFIG}, or give a model "
                    "that was resized and trained with it"
                )

    def _refuse_code_and_pickles(self, config: PretrainedConfig) -> None:
        of_its_own = getattr(config, "auto_map", None) or {}
        if AutoModelForCausalLM.__name__ in of_its_own and type(config) not in AutoModelForCausalLM._model_mapping:
            raise self._needs_code()
        safe = any(has_file(self.name, name) for name in model_folder.SAFE_FILES)
        if not safe and any(has_file(self.name, name) for name in model_folder.PICKLED_FILES):
            raise self._error(
                "its weights are pickles, which can hold code. Convert them once, where "
                "that does no harm, with AutoModelForCausalLM.from_pretrained(...).save_pretrained(...), which writes "
                f"safetensors; or give {self.trust_option} if you trust its authors"
            )

    @contextmanager
    def _told(self, what: str) -> Generator[None]:
        """Whatever transformers raises on a stranger's files becomes a ConfigError that says `what` is the matter."""
        try:
            yield
        except ConfigError:
            raise
        except ModelFault as fault:
            raise self._error(str(fault)) from fault
        except Exception as error:
            if not self.trusted and "trust_remote_code" in str(error):  # transformers' advice when it refuses code
                raise self._needs_code() from error
            raise self._error(f"{what} ({type(error).__name__}: {' '.join(str(error).split())})") from error

    def _error(self, fault: str) -> ConfigError:
        return ConfigError(f"{self.option} {self.name}: {fault}")

    def _needs_code(self) -> ConfigError:
        return self._error(
            f"needs Python code of its own, which was not run. Read that code, and give {self.trust_option} if you "
            "trust it"
        )


def _check_template(tokenizer: Any) -> None:
    """Raise ModelFault for a chat template that is none. What it says to a chat is for those who render one."""
    template = tokenizer.chat_template
    if not template:
        return
    if not isinstance(template, str | dict):
        raise ModelFault(f"its chat template is no text, but {template!r}: correct {TOKENIZER_CONFIG}")
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True)
    except TemplateSyntaxError as error:
        raise ModelFault(f"its chat template can't be read (line {error.lineno}: {error.message})") from error
    except Exception:
        pass
