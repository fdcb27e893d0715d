"""Security check of a model's files, before any of them is loaded.

A model may bring Python files that run when it is loaded, and pickled weights, which can hold code as well. Both are
refused unless the user trusts its authors.
Boundary: reads configs, no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME
from transformers.utils.hub import has_file

from prepo_rlhf.config.base import ConfigError


@dataclass(frozen=True)
class ModelFiles:
    """A model by its folder or name, whether its authors are trusted, and the options that say so."""

    name: str
    trusted: bool
    option: str = "--actor.model_name_or_path"
    trust_option: str = "--actor.trust_remote_code"

    def check(self) -> PretrainedConfig:
        """The model's config; ConfigError if there is no such model, or it needs a trust that was not given."""
        config = self.config()
        if self.trusted:
            return config
        of_its_own = getattr(config, "auto_map", None) or {}
        if AutoModelForCausalLM.__name__ in of_its_own and type(config) not in AutoModelForCausalLM._model_mapping:
            raise self._needs_code()
        safe = any(has_file(self.name, name) for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME))
        if not safe and any(has_file(self.name, name) for name in (WEIGHTS_NAME, WEIGHTS_INDEX_NAME)):
            raise ConfigError(
                f"{self.option} {self.name}: its weights are pickles, which can hold code. Convert them once, where "
                "that does no harm, with AutoModelForCausalLM.from_pretrained(...).save_pretrained(...), which writes "
                f"safetensors; or give {self.trust_option} if you trust its authors"
            )
        return config

    def config(self) -> PretrainedConfig:
        """The model's config, whatever its other files are; ConfigError as in `check`."""
        return self._load(AutoConfig)

    def tokenizer(self, use_fast: bool = True) -> PreTrainedTokenizerBase:
        """The model's tokenizer as it is; ConfigError as in `check`."""
        return self._load(AutoTokenizer, use_fast=use_fast)

    def _load(self, loader: type[AutoConfig | AutoTokenizer], **options: Any) -> Any:
        try:
            return loader.from_pretrained(self.name, trust_remote_code=self.trusted, **options)
        except (OSError, ValueError, KeyError) as error:
            if not self.trusted and "trust_remote_code" in str(error):  # transformers' advice when it refuses code
                raise self._needs_code() from error
            raise ConfigError(f"{self.option} {self.name}: no model can be loaded from there ({error})") from error

    def _needs_code(self) -> ConfigError:
        return ConfigError(
            f"{self.option} {self.name}: needs Python code of its own, which was not run. Read that code, and give "
            f"{self.trust_option} if you trust it"
        )
