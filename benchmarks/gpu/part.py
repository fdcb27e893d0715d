"""What the parts share: options, and the form of their JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from random_model import SHAPES


def make_parser(doc: str | None, shape: str) -> argparse.ArgumentParser:
    """The parser of a part that measures a model of `shape` unless another is asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=shape)
    parser.add_argument("--work", type=Path, help="an existing folder for the model and what else is made")
    parser.add_argument("--output", type=Path, required=True)
    return parser


def write(args: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """The result, after the settings that it was measured with."""
    settings = {name: value for name, value in vars(args).items() if name not in ("work", "output")}
    args.output.write_text(json.dumps({"settings": settings, **result}, indent=2) + "\n")
