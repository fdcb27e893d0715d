"""OpenRLHF without flash-attn.

`openrlhf.models.ring_attn_utils` (0.11.2) imports flash-attn when it is itself imported, though only sample
packing and ring attention use it. Where flash-attn is not installed, that one module is imported over a
stand-in whose functions raise; the stand-in is gone afterwards, so that no other library takes it for the
real package.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_MODULE = "openrlhf.models.ring_attn_utils"
_NAMES = {
    "flash_attn.bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
    "flash_attn.utils.distributed": ("all_gather",),
}


def installed() -> bool:
    """Whether the real flash-attn can be imported."""
    return importlib.util.find_spec("flash_attn") is not None


def default_attention() -> str:
    """The attention implementation for `--ds.attn_implementation` when the user names none."""
    return "flash_attention_2" if installed() else "sdpa"


def import_openrlhf_without() -> None:
    """Import OpenRLHF's one module that insists on flash-attn; where flash-attn is there, do nothing.

    The module alone, not its package: other libraries must not be imported while the stand-in is there.
    """
    if installed() or _MODULE in sys.modules:
        return
    (package,) = importlib.util.find_spec("openrlhf").submodule_search_locations
    spec = importlib.util.spec_from_file_location(_MODULE, Path(package) / "models" / "ring_attn_utils.py")
    module = importlib.util.module_from_spec(spec)
    stand_ins = {"flash_attn": ModuleType("flash_attn"), "flash_attn.utils": ModuleType("flash_attn.utils")}
    for module_name, functions in _NAMES.items():
        stand_ins[module_name] = ModuleType(module_name)
        for function in functions:
            setattr(stand_ins[module_name], function, _refuse)
    sys.modules.update(stand_ins)
    try:
        spec.loader.exec_module(module)
    finally:
        for module_name in stand_ins:
            del sys.modules[module_name]
    sys.modules[_MODULE] = module


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise RuntimeError("--ds.packing_samples and --ds.ring_attn_size above 1 need flash-attn, which is not installed")
