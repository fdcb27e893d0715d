"""The commands that recipes, scripts, README and documentation give, as the words that would reach our programs.

Scripts of evaluations are run with programs first in the PATH that write down their arguments; what stands in Markdown
is only read.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tiny_tasks import ROOT

SCRIPTS, RECIPES = ROOT / "examples" / "scripts", ROOT / "examples" / "recipes"
TRAINING, EVALUATION = "train_prepo_ray", "eval_math"
RECORDER = '#!/usr/bin/env bash\nprintf "%s\\0" "$@" >"$RECORD"\n'
Commands = dict[str, list[str]]
"""Where a command stands -> the options that it gives."""


def training_commands() -> Commands:
    """Every training job: the recipes, which is what the scripts start, and what stands in Markdown."""
    found = {path.name: ["--config", str(path)] for path in RECIPES.glob("*.yaml")}
    return found | dict(_in_markdown(TRAINING))


def evaluation_commands(folder: Path) -> Commands:
    """Every evaluation of a model; `folder` takes what is written down."""
    names = [path.name for path in SCRIPTS.glob("eval_*.sh") if path.name != "eval_math.sh"]
    found = {name: _recorded(name, folder) for name in names} | dict(_in_markdown(EVALUATION))
    return {where: options for where, options in found.items() if "--model" in options}


def _recorded(script: str, folder: Path) -> list[str]:
    record = folder / "arguments"
    for name in ("python", "nvidia-smi"):  # with GPUs, an evaluation sets nothing up
        (folder / name).write_text(RECORDER)
        (folder / name).chmod(0o755)
    variables = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(record)}
    subprocess.run(["bash", SCRIPTS / script], check=True, env=variables)
    words = record.read_text().split("\0")[:-1]
    return words[words.index(f"prepo_rlhf.cli.{EVALUATION}") + 1 :]


def _in_markdown(program: str) -> Iterator[tuple[str, list[str]]]:
    for path in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]):
        for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(), flags=re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if program not in line:
                    continue
                words = shlex.split(re.sub(r"\$\([^)]*\)", "computed", line), comments=True)
                starts = [n for n, word in enumerate(words) if re.search(rf"\b{program}(\.sh)?$", word)]
                if starts and "..." not in words:
                    options = [word.replace("$PWD/", "") for word in words[starts[0] + 1 :]]
                    yield f"{path.relative_to(ROOT)}: {line[:60]}", options
