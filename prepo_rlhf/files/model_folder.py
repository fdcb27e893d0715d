"""What lies in a model's folder: JSON files that can be read, weights that are all there, no adapter in their place.

Boundary: reads JSON, and the headers of safetensors files, which say how long these must be; never the weights. Knows
no option.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from transformers.modeling_utils import load_state_dict
from transformers.utils import (
    CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)
from transformers.utils.hub import has_file
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME, find_adapter_config_file

SAFE_FILES, PICKLED_FILES = (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME)
JSON_FILES = (
    CONFIG_NAME, GENERATION_CONFIG_NAME, "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_INDEX_NAME,
)  # fmt: skip
_LFS = b"version https://git-lfs"
_ZIP = b"PK"


class ModelFault(ValueError):
    """What is wrong with a model, for the end of a sentence that begins with its option and name."""


def check_folder(folder: Path) -> None:
    """Raise ModelFault if there is no config.json, or one of the files that must hold a JSON object holds none."""
    if not (folder / CONFIG_NAME).is_file():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_NAME}"))
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        remedy = f"give the folder {folder / inside[0]}" if inside else "give the folder of a model"
        raise ModelFault(f"has no {CONFIG_NAME}, but {there}: {remedy}")
    for name in JSON_FILES:
        if (folder / name).is_file():
            _read_json(folder / name)


def check_no_adapter(name: str) -> None:
    """Raise ModelFault if `name`, a folder or a name on the hub, holds a LoRA adapter.

    Without a model beside it there is nothing that an engine could load; with one, transformers would put the adapter
    on it, and vLLM would not.
    """
    try:
        found = find_adapter_config_file(name) if has_file(name, ADAPTER_CONFIG_NAME) else None
    except (OSError, ValueError):  # there is no such name, which is for those who load its config
        return
    if found is None:
        return
    if has_file(name, CONFIG_NAME) and any(has_file(name, file) for file in (*SAFE_FILES, *PICKLED_FILES)):
        raise ModelFault(
            "holds a model and a LoRA adapter together, and not all that load it would use both: move "
            f"{ADAPTER_CONFIG_NAME} and the adapter's weights to a folder of their own"
        )
    base = _read_json(Path(found)).get("base_model_name_or_path")
    raise ModelFault(
        f"holds a LoRA adapter of {base}, not a whole model: give {base}; or merge the two once, with "
        f"PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), {name!r}).merge_and_unload()"
        ".save_pretrained(FOLDER), put the tokenizer's files beside them, and give that FOLDER"
    )


def read_shapes(folder: Path) -> dict[str, torch.Tensor] | None:
    """Every tensor of the folder's weights as one without content (on the meta device); None where they are pickles.

    Raises:
        ModelFault: there are no weights, or a file of them is missing, cut short or of another kind.
    """
    files = _weight_files(folder)
    shapes: dict[str, torch.Tensor] = {}
    for file in files:
        start = _start(file)
        if file.suffix != ".safetensors":  # read as a whole or not at all; a zip file has its table at the end
            if start.startswith(_LFS) or not start or start.startswith(_ZIP) and not is_zipfile(file):
                raise _unreadable(file, "it is cut short")
            continue
        try:
            shapes |= load_state_dict(file, map_location="meta")
        except Exception as error:  # safetensors' own, which is no OSError and no ValueError
            raise _unreadable(file, f"it is cut short, or no safetensors file: {error}") from error
    return shapes or None


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers would load, in its order of preference."""
    for whole, index in (SAFE_FILES, PICKLED_FILES):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            return _shards(folder, index)
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
    raise ModelFault(
        f"has no weights: neither {SAFE_WEIGHTS_NAME} nor {SAFE_WEIGHTS_INDEX_NAME} with the files that it names, but "
        f"{there}; copy or download the model again"
    )


def _shards(folder: Path, index: str) -> list[Path]:
    places = _read_json(folder / index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ModelFault(f"{index} has no weight_map, which says in which file each tensor is")
    files = [folder / name for name in sorted(set(places.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelFault(
            f"{index} names {len(files)} files of weights, and {len(missing)} of them are missing, the first "
            f"{missing[0]}; copy or download the model again"
        )
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it holds no JSON object")
    return value


def _unreadable(path: Path, why: str) -> ModelFault:
    try:
        pointer = _start(path).startswith(_LFS)
    except OSError:
        pointer = False
    if pointer:
        why = "it is a pointer of Git LFS in place of the file: run `git lfs pull` in that folder"
    return ModelFault(f"{path.name} can't be read ({why})")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_LFS))
