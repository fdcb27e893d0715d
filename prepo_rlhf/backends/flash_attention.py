"""OpenRLHF without flash-attn.

`openrlhf.models.ring_attn_utils` (0.11.2) imports flash-attn when it is itself imported. Sample packing needs only
its functions that take padding out and put it back, which transformers has too; ring attention needs the rest. Where
flash-attn is not installed, that one module is imported over a stand-in of those functions; the stand-in is gone
afterwards, so that no other library takes it for the real package.
"""

from __future__ import annotations

import importlib.util
import operator
import sys
from collections.abc import Callable
from importlib.resources import files
from types import ModuleType
from typing import Any, NoReturn

_MODULE = "openrlhf.models.ring_attn_utils"


def installed() -> bool:
    """Whether the real flash-attn can be imported."""
    return importlib.util.find_spec("flash_attn") is not None


def import_openrlhf_without() -> None:
    """Import OpenRLHF's one module that insists on flash-attn; where flash-attn is there, do nothing.

    The module alone, not its package: other libraries must not be imported while the stand-in is there.
    """
    if installed() or _MODULE in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(_MODULE, str(files("openrlhf") / "models" / "ring_attn_utils.py"))
    assert spec is not None and spec.loader is not None  # as for any .py file
    module = importlib.util.module_from_spec(spec)
    stand_ins = {name: ModuleType(name) for name in ("flash_attn", "flash_attn.utils")}
    for name, functions in _functions().items():
        stand_ins[name] = ModuleType(name)
        vars(stand_ins[name]).update(functions)
    sys.modules.update(stand_ins)
    try:
        spec.loader.exec_module(module)
    finally:
        for name in stand_ins:
            del sys.modules[name]
    sys.modules[_MODULE] = module


def _functions() -> dict[str, dict[str, Callable[..., Any]]]:
    """What the module takes from flash-attn."""
    from einops import rearrange
    from transformers.modeling_flash_attention_utils import _pad_input, _unpad_input

    padding = {
        "index_first_axis": operator.getitem, "pad_input": _pad_input, "rearrange": rearrange,
        "unpad_input": _unpad_input,
    }  # fmt: skip
    return {"flash_attn.bert_padding": padding, "flash_attn.utils.distributed": {"all_gather": _refuse}}


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise RuntimeError("--ds.ring_attn_size above 1 needs flash-attn, which is not installed")
