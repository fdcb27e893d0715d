"""Commands of the core, run by a Python that has the core's requirements and nothing else: no torch, no Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from core_environment import STACK, core_requirements, link_distributions
from tiny_runs import lifelike_run
from tiny_tasks import ROOT

MODEL, EXTRAS = "--model Qwen/Qwen2.5-Math-1.5B", "which the extras cpu and gpu of prepo-rlhf name"
TAKES_NONE = {
    "plan": f"plan {MODEL} --prompts 17000",
    "summary": "summary run",
    **{f"help of {name}": f"{name} --help" for name in ("train", "eval", "plan", "report", "summary")},
    "all options": "train --help-all",
}
# A command, and the beginning of its answer. The report is drawn up to the section that takes a library of the stack.
NEEDS_IT = {
    "train --prepo.selector random": "train_prepo_ray: needs torch, which is not installed",
    "eval --model m": "eval_math: needs ",
    "plan --model my/model": "plan: --actor.model_name_or_path my/model: needs ",
    f"plan {MODEL} -- --data.prompt_dataset rows.parquet": "plan: --data.prompt_dataset rows.parquet: needs pyarrow",
    "report --runs run --subject_key level": "report: needs ray, which is not installed",
}
# Each command in turn in one process, which pays for the imports once.
RUN_ALL = """
import contextlib, io, json, sys
from importlib.util import find_spec
from prepo_rlhf.cli.prepo import main

def run(words):
    sys.argv, out, err = ["prepo", *words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()

commands, stack = json.load(sys.stdin)
answers = [run(command.split()) for command in commands]
print(json.dumps([[name for name in stack if find_spec(name)], answers]))
"""


class Answer(NamedTuple):
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """What all commands say where only the core is installed: `-S` leaves out the interpreter's own site-packages."""
    folder = tmp_path_factory.mktemp("core")
    link_distributions(core_requirements(), folder / "site")
    lifelike_run(folder / "run", seed=1, steps=2)
    (folder / "rows.parquet").write_bytes(b"PAR1")
    commands = [*TAKES_NONE.values(), *NEEDS_IT]
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUN_ALL], input=json.dumps([commands, STACK]), capture_output=True, text=True,
        cwd=folder, env=os.environ | {"PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    there, said = json.loads(done.stdout)
    assert there == []
    return {command: Answer(*answer) for command, answer in zip(commands, said, strict=True)}


@pytest.mark.parametrize("name", TAKES_NONE)
def test_runs_with_the_core_alone(name: str, answers: Mapping[str, Answer]) -> None:
    answer = answers[TAKES_NONE[name]]
    assert answer.code == 0 and answer.out and not answer.err, answer


@pytest.mark.parametrize("command", NEEDS_IT)
def test_what_needs_the_stack_says_what_to_install(command: str, answers: Mapping[str, Answer]) -> None:
    answer = answers[command]
    assert answer.code == 2 and answer.err.startswith(NEEDS_IT[command]) and EXTRAS in answer.err, answer
    assert len(answer.err.splitlines()) == 1
