"""OpenRLHF without the code that a model may bring along.

OpenRLHF 0.11.2 loads every config, tokenizer and model with `trust_remote_code=True`, so that a model's own Python
files run, even where transformers has the same classes itself. That argument is overridden in the loaders of
transformers (5.15) that it uses.
"""

from __future__ import annotations

from typing import Any

from prepo_rlhf.backends import internals

# Those that OpenRLHF has load configs, tokenizers and models.
LOADERS = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")


def refuse() -> None:
    """From now on this process runs no model's own code; later calls do nothing."""
    import transformers

    for name in LOADERS:
        loader = getattr(transformers, name)
        if loader.from_pretrained.__module__ != __name__:
            original = internals.require(f"transformers:{name}.from_pretrained")
            loader.from_pretrained = _distrusting(original.__func__)


def _distrusting(original: Any) -> Any:
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        return original(cls, *args, **kwargs | {"trust_remote_code": False})

    return classmethod(from_pretrained)
