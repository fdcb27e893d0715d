"""The distributions that the core requires, without the training stack: links to those that are installed here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from tiny_tasks import ROOT

STACK = ("torch", "ray", "vllm", "deepspeed", "openrlhf", "transformers", "datasets", "pyarrow")


def core_requirements() -> list[str]:
    """Those of setup.py without its extras."""
    [value] = re.findall(r"^LIGHT = (\[.+?\])", (ROOT / "setup.py").read_text(), flags=re.M | re.S)
    return ast.literal_eval(value)


def link_distributions(requirements: Iterable[str], folder: Path) -> None:
    """Make `folder` hold, as links, the modules of these distributions and of all that they require in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    left, done = [Requirement(text) for text in requirements], set()
    while left:
        requirement = left.pop()
        if requirement.name in done or requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        done.add(requirement.name)
        found = distribution(requirement.name)
        assert requirement.specifier.contains(found.version, prereleases=True), requirement
        left += [Requirement(text) for text in found.requires or ()]
        for first in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / first).exists():  # a folder of several distributions is linked once
                (folder / first).symlink_to(Path(str(found.locate_file(first))))
