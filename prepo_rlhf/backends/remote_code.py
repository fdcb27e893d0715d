"""OpenRLHF without the code that a model may bring along.

OpenRLHF 0.11.2 loads every config, tokenizer and model with `trust_remote_code=True`, so that a model's own Python
files run, even where transformers has the same classes itself. What it says is overruled at the loaders of transformers
(5.15) that it uses.
"""

from __future__ import annotations

import inspect
from typing import Any


def refuse() -> None:
    """From now on this process runs no model's own code; later calls do nothing.

    Raises:
        RuntimeError: a loader of transformers is no longer the one this was written for.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    for loader in (AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer):
        original = loader.from_pretrained
        if original.__module__ == __name__:
            continue
        if "trust_remote_code" not in inspect.getsource(original):
            raise RuntimeError(f"transformers' {loader.__name__} changed: review prepo_rlhf.backends.remote_code")
        loader.from_pretrained = _distrusting(original.__func__)


def _distrusting(original: Any) -> classmethod:
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        return original(cls, *args, **kwargs | {"trust_remote_code": False})

    return classmethod(from_pretrained)
