"""A commit goes through the hooks of .pre-commit-config.yaml without a network, and what they forbid does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_tasks import ROOT

GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "core.hooksPath=.git/hooks"]


def commit(clone: Path, name: str, content: str) -> subprocess.CompletedProcess[str]:
    """Try to commit one file."""
    path = clone / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    environment = os.environ | {"PRE_COMMIT_HOME": str(clone.parent / "cache")}
    subprocess.run([*GIT, "add", name], cwd=clone, check=True)
    command = [*GIT, "commit", "--message", name]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment)
    if done.returncode:
        subprocess.run([*GIT, "rm", "--quiet", "--force", name], cwd=clone, check=True)
    return done


def test_hooks_stop_what_they_should_and_nothing_else(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run([*GIT, "init", "--quiet", clone], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    for name in (".pre-commit-config.yaml", ".gitignore", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "prepo_rlhf", clone / "prepo_rlhf", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / ".git" / "info" / "exclude").write_text(".venv\n")
    subprocess.run([*GIT, "add", ".pre-commit-config.yaml", "pyproject.toml"], cwd=clone, check=True)
    subprocess.run([clone / ".venv/bin/pre-commit", "install"], cwd=clone, check=True, capture_output=True)

    drawing = "prepo_rlhf/analysis/sections/timing.py"  # its types are right by the settings in pyproject.toml alone
    fine = commit(clone, drawing, (ROOT / drawing).read_text())
    assert fine.returncode == 0, fine.stdout + fine.stderr
    forbidden = {
        "prepo_rlhf/types.py": ('COUNT: int = "one"\n', "types of changed files"),
        "prepo_rlhf/unused.py": ("import os\n", "ruff"),
        "docs/large.txt": ("x" * 1_100_000, "no file over 1 MB"),
    }
    for name, (content, hook) in forbidden.items():
        stopped = commit(clone, name, content)
        failed = [line.split("...")[0] for line in stopped.stderr.splitlines() if line.endswith("Failed")]
        assert stopped.returncode == 1 and failed == [hook], stopped.stderr
    weights = commit(clone, "examples/arithmetic/checkpoints/mid/model.safetensors", "x" * 1_100_000)
    assert weights.returncode == 0, weights.stderr
