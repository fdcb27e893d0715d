"""The wheel of this clone, installed in an environment of its own with the core's requirements and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from core_environment import STACK, link_distributions
from finished_runs import FinishedRun
from packaging.specifiers import SpecifierSet
from tiny_tasks import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
SOURCES = ("prepo_rlhf", "setup.py", "pyproject.toml", "README.md", "LICENSE")


class Installed(NamedTuple):
    """The wheel, the environment that it is installed in, and an empty folder outside of the clone."""

    wheel: Path
    environment: Path
    folder: Path

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.environment / "bin" / program), *words]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=variables)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built without isolation and installed without an index, the requirements being those of this environment: the
    same with a network as without."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources)
    offline = ["--no-index", "--no-deps"]
    subprocess.run([*PIP, "wheel", *offline, "--no-build-isolation", "-w", folder, sources], check=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    subprocess.run([*PIP, "--python", folder / "environment", "install", *offline, wheel], check=True)
    [site] = (folder / "environment").glob("lib/python*/site-packages")
    [metadata] = site.glob("prepo_rlhf-*.dist-info")
    link_distributions(Distribution.at(metadata).requires or (), site)
    (folder / "elsewhere").mkdir()
    return Installed(wheel, folder / "environment", folder / "elsewhere")


def test_it_holds_every_file_of_the_package(installed: Installed) -> None:
    held = set(zipfile.ZipFile(installed.wheel).namelist())
    files = [path for path in (ROOT / "prepo_rlhf").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {str(path.relative_to(ROOT)) for path in files} <= held
    assert {"prepo_rlhf/py.typed", "prepo_rlhf/backends/internals.yaml"} <= held


def test_it_says_for_which_python_it_is(installed: Installed) -> None:
    [metadata] = installed.environment.glob("lib/python*/site-packages/prepo_rlhf-*.dist-info")
    about = Distribution.at(metadata).metadata
    minors = [int(name.rpartition(".")[2]) for name in about.get_all("Classifier", []) if "Python :: 3." in name]
    allowed = SpecifierSet(about["Requires-Python"])
    assert minors == [minor for minor in range(20) if f"3.{minor}" in allowed]


def test_it_installs_itself_and_nothing_of_the_stack(installed: Installed) -> None:
    code = (
        "import importlib.util, json, prepo_rlhf\n"
        f"print(json.dumps([prepo_rlhf.__file__, [n for n in {STACK} if importlib.util.find_spec(n)]]))"
    )
    where, there = json.loads(installed.run("python", "-c", code).stdout)
    assert Path(where).is_relative_to(installed.environment) and there == []


def test_a_plan(installed: Installed) -> None:
    done = installed.run("prepo", "plan", "--model", "Qwen/Qwen2.5-Math-7B", "--prompts", "17000")
    assert done.returncode == 0 and "7,615.6" in done.stdout, done.stderr


def test_a_report_and_a_summary(installed: Installed, finished_run: FinishedRun) -> None:
    report = installed.run("prepo", "report", "--runs", str(finished_run.folder))
    assert report.returncode == 0, report.stderr
    page = Path(report.stdout.strip())
    assert page == installed.folder / "runs" / "report" / "report.html" and "Held-out accuracy" in page.read_text()
    assert list((page.parent / "figures").glob("*.png")) and list((page.parent / "data").glob("*.csv"))
    summary = installed.run("prepo", "summary", str(finished_run.folder))
    assert summary.returncode == 0 and "rollouts generated" in summary.stdout, summary.stderr
    of_subjects = installed.run("prepo", "report", "--runs", str(finished_run.folder), "--subject_key", "subject")
    assert of_subjects.returncode == 2 and of_subjects.stderr.startswith("report: needs ray, "), of_subjects.stderr


@pytest.mark.parametrize("words", [["prepo", "train"], ["python", "-m", "prepo_rlhf.cli.train_prepo_ray"]])
def test_training_says_what_to_install(words: list[str], installed: Installed) -> None:
    done = installed.run(*words)
    assert done.returncode == 2
    assert re.fullmatch(r"train_prepo_ray: needs torch, .* extras cpu and gpu .*\n", done.stderr), done.stderr
