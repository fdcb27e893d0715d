"""Commands of the core, run by a Python that has the core's requirements and nothing else: no torch, no Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from core_environment import STACK, core_requirements, link_distributions
from tiny_runs import lifelike_run
from tiny_tasks import ROOT

MODEL, EXTRAS = "--model Qwen/Qwen2.5-Math-1.5B", "which the extras cpu and gpu of prepo-rlhf name"
RUNS = [
    f"plan {MODEL} --prompts 17000", "summary run", "report --runs run", "train --help-all",
    *(f"{name} --help" for name in ("train", "eval", "plan", "report", "summary")),
]  # fmt: skip
# A command, and the beginning of its answer.
NEEDS_MORE = {
    "train --prepo.selector random": "train_prepo_ray: needs torch, which is not installed",
    "eval --model m": "eval_math: needs ",
    "plan --model my/model": "plan: --actor.model_name_or_path my/model: needs ",
    f"plan {MODEL} -- --data.prompt_dataset rows.parquet": "plan: --data.prompt_dataset rows.parquet: needs pyarrow",
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


def test_what_runs_with_the_core_alone_and_what_says_that_it_needs_more(tmp_path: Path) -> None:
    """One test, since two processes of pytest would each pay for the imports. `-S` leaves out the interpreter's own
    site-packages."""
    link_distributions(core_requirements(), tmp_path / "site")
    lifelike_run(tmp_path / "run", seed=1, steps=2)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUN_ALL], input=json.dumps([[*RUNS, *NEEDS_MORE], STACK]), capture_output=True,
        text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    there, answers = json.loads(done.stdout)
    assert there == []
    for command, (code, out, err) in zip(RUNS, answers, strict=False):
        assert code == 0 and out, (command, err)
    for (command, beginning), (code, _, err) in zip(NEEDS_MORE.items(), answers[len(RUNS) :], strict=True):
        assert code == 2 and err.startswith(beginning) and EXTRAS in err, (command, err)
        assert len(err.splitlines()) == 1, (command, err)
