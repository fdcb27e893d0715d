"""Models that bring Python code of their own, which tells when it runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

CONFIG = """
from transformers import LlamaConfig

{mark}

class OwnConfig(LlamaConfig):
    model_type = "llama-of-its-own"
"""
MODEL = """
from transformers import LlamaForCausalLM

from .configuration_own import OwnConfig

{mark}

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""
TOKENIZER = """
from transformers import PreTrainedTokenizerFast

{mark}

class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
GENERATION = """
{mark}

def generate(model, **kwargs):
    raise NotImplementedError
"""
AUTO_MAP = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
AUTO_TOKENIZER = {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]}
SOURCES = {
    "configuration_own.py": CONFIG,
    "modeling_own.py": MODEL,
    "tokenization_own.py": TOKENIZER,
    "custom_generate/generate.py": GENERATION,
}


class ModelWithCode:
    """A copy of a model whose files, when they run, each leave a line with their name."""

    def __init__(self, model: str, folder: Path, model_type: str = "llama-of-its-own") -> None:
        """`model_type` "llama" makes it one that transformers knows without that code."""
        self.path = str(shutil.copytree(model, folder))
        self._marks = folder.with_name(f"{folder.name}-marks.txt")
        for name, source in SOURCES.items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            mark = f"with open({str(self._marks)!r}, 'a') as marks: marks.write({name!r} + chr(10))"
            file.write_text(source.format(mark=mark))
        self.edit("config.json", model_type=model_type, auto_map=AUTO_MAP)
        self.edit("tokenizer_config.json", auto_map=AUTO_TOKENIZER)

    def edit(self, file: str, **changes: Any) -> None:
        """Change entries of one of its JSON files; None takes an entry away."""
        path = Path(self.path) / file
        entries = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({name: value for name, value in entries.items() if value is not None}))

    def executed(self) -> set[str]:
        """The files that have run, in any process."""
        return set(self._marks.read_text().split()) if self._marks.exists() else set()


def with_pickled_weights(model: str, folder: Path) -> str:
    """A copy of a model with pytorch_model.bin in place of safetensors."""
    shutil.copytree(model, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return str(folder)
