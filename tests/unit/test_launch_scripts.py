"""The shell scripts: shellcheck finds nothing, and each launch script submits the recipe that it names.

A `ray` that writes down its arguments stands first in the PATH, so that what is looked at is what would be submitted;
what is in the recipes is for test_recipes.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shipped_commands import RECIPES, SCRIPTS
from tiny_tasks import ROOT, gpu_job

from prepo_rlhf.config import Config

BIN = Path(sys.executable).parent
RECORDER = '#!/usr/bin/env bash\nprintf "%s\\0" "$@" >"$RECORD"\n'
# Writes down one submission after the other; each driver has ended with the next of the STATUSES.
FAILING = """#!/usr/bin/env bash
echo "$*" >>"$RECORD"
exit $(($(cut -d " " -f "$(wc -l <"$RECORD")" <<<"$STATUSES") != 0))
"""
DATA = {"DATA": "/d.jsonl", "EVAL_DATA": "/e.jsonl"}
JOB_SUBMISSION = """
import os
from enum import Enum
from types import SimpleNamespace

class JobStatus(Enum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    def is_terminal(self):
        return self != JobStatus.RUNNING

class JobSubmissionClient:
    def get_job_info(self, name):
        number = int(name.partition("-again-")[2] or 0)
        code = int(os.environ["STATUSES"].split()[number])
        if code == 1000:
            raise ConnectionError("the cluster cannot be reached")
        status = {130: JobStatus.STOPPED, 999: JobStatus.RUNNING}.get(code, JobStatus.FAILED)
        return SimpleNamespace(status=status, driver_exit_code=-9 if code == 137 else code)
"""
MODEL_SCRIPTS = {  # script -> recipe, and nodes if it sets them
    "train_prepo_qwen2.5_math_1.5b": ("prepo_qwen2.5_math_1.5b", None),
    "train_prepo_qwen2.5_math_7b": ("prepo_qwen2.5_math_7b", None),
    "train_prepo_qwen2.5_7b": ("prepo_qwen2.5_7b", None),
    "train_prepo_qwen3_4b": ("prepo_qwen3_4b", None),
    "train_prepo_llama3.1_8b": ("prepo_llama3.1_8b", None),
    "train_prepo_llama3.1_8b_2nodes": ("prepo_llama3.1_8b", 2),
    "train_prepo_llama3.1_8b_4nodes": ("prepo_llama3.1_8b", 4),
}


def run(
    name: str, folder: Path, *options: str, ray: str = RECORDER, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in `folder`, which holds the `ray` that it finds."""
    unset = {"MODEL", "DATA", "EVAL_DATA", "RUN", "NODES", "GPUS", "PLAN", "SUBMISSION_ID"}
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    variables |= {"PATH": f"{folder}:{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    (folder / "ray").write_text(ray)
    (folder / "ray").chmod(0o755)
    command = ["bash", SCRIPTS / f"{name}.sh", *options]
    variables |= {"RECORD": str(folder / "arguments")} | environment
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True)


def given_to_ray(name: str, folder: Path, *options: str, **environment: str) -> list[str]:
    done = run(name, folder, *options, **environment)
    assert done.returncode == 0, done.stderr
    return (folder / "arguments").read_text().split("\0")[:-1]


def job_options(arguments: list[str]) -> list[str]:
    """The training options among what `ray job submit` is given."""
    at = arguments.index("--")
    assert arguments[:2] == ["job", "submit"]
    assert arguments[at + 1 : at + 3] == ["env", "--chdir"]
    assert arguments[at + 4 : at + 7] == ["python3", "-m", "prepo_rlhf.cli.train_prepo_ray"]
    return arguments[at + 7 :]


def job(name: str, folder: Path, *options: str, **environment: str) -> Config:
    return gpu_job(job_options(given_to_ray(name, folder, *options, **environment)))


def test_shellcheck_finds_nothing() -> None:
    scripts = [*SCRIPTS.glob("*.sh"), *ROOT.glob("tests/*.sh"), *ROOT.glob("examples/*/run.sh")]
    scripts += [ROOT / "benchmarks" / "gpu.sh", ROOT / ".ci" / "run"]
    shellcheck = BIN / "shellcheck"
    command = [shellcheck if shellcheck.is_file() else shutil.which("shellcheck"), "--external-sources", *scripts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MODEL_SCRIPTS)
def test_a_models_script_is_one_line_that_names_its_recipe(name: str) -> None:
    recipe, nodes = MODEL_SCRIPTS[name]
    assert (RECIPES / f"{recipe}.yaml").is_file()
    lines = [line for line in (SCRIPTS / f"{name}.sh").read_text().splitlines() if not line.startswith("#")]
    environment = f"NODES={nodes} " if nodes else ""
    assert lines == [f'{environment}exec bash "$(dirname "${{BASH_SOURCE[0]}}")/train.sh" {recipe} "$@"']


def test_every_script_that_trains_is_known() -> None:
    assert {path.stem for path in SCRIPTS.glob("train*.sh")} == {*MODEL_SCRIPTS, "train", "train_prepo_cpu"}


def test_a_models_script_submits_its_recipe_wherever_it_is_run(tmp_path: Path) -> None:
    arguments = given_to_ray("train_prepo_llama3.1_8b_4nodes", tmp_path, "--train.seed", "3", **DATA)
    assert arguments[arguments.index("--chdir") + 1] == str(tmp_path)
    options = job_options(arguments)
    assert options[:2] == ["--config", str(RECIPES / "prepo_llama3.1_8b.yaml")]
    config = gpu_job(options)
    assert config.actor.model_name_or_path == "meta-llama/Llama-3.1-8B-Instruct" and config.train.seed == 3
    assert (config.actor.num_nodes, config.actor.num_gpus_per_node, config.vllm.num_engines) == (4, 8, 32)


def test_environment_and_command_line_win_over_the_recipe(tmp_path: Path) -> None:
    more = {"RUN": "/r", "MODEL": "/m", "NODES": "2", "GPUS": "4", "SUBMISSION_ID": "mine"} | DATA
    options = ["--rollout.batch_size", "64", "--prepo.selector=mopps"]
    arguments = given_to_ray("train", tmp_path, "random", *options, **more)
    assert arguments[arguments.index("--submission-id") + 1] == "mine"
    config = gpu_job(job_options(arguments))
    assert config.data.prompt_dataset == "/d.jsonl" and config.eval.dataset == "/e.jsonl"
    assert config.actor.model_name_or_path == "/m"
    assert (config.ckpt.path, config.ckpt.output_dir, config.logger.run_dir) == ("/r/checkpoints", "/r/model", "/r")
    assert (config.actor.num_nodes, config.actor.num_gpus_per_node, config.vllm.num_engines) == (2, 4, 8)
    assert config.rollout.batch_size == 64 and config.prepo.selector == "mopps"
    assert config.prepo.entropy_weight == "none"  # the recipe's


def test_engines_on_gpus_of_their_own_grow_with_the_policy(tmp_path: Path) -> None:
    """And a file of the user's own is a recipe as well, which may extend one of ours."""
    config = job("train", tmp_path, "prepo_async", NODES="2", GPUS="4", **DATA)
    assert (config.actor.num_nodes, config.actor.num_gpus_per_node, config.vllm.num_engines) == (2, 2, 4)
    (tmp_path / "own.yaml").write_text(
        f"extends: {RECIPES / 'prepo_qwen2.5_math_7b.yaml'}\n"
        "train: {colocate_all: false}\nactor: {num_gpus_per_node: 4}\n"
        "vllm: {num_engines: 2, enable_sleep: false}\nds: {enable_sleep: false}\n"
    )
    config = job("train", tmp_path, "./own.yaml", NODES="2", EVAL_DATA="", DATA="/d.jsonl")
    assert (config.actor.num_nodes, config.actor.num_gpus_per_node, config.vllm.num_engines) == (2, 4, 4)
    assert config.eval.steps == -1 and config.eval.dataset is None


def test_a_mistake_is_told_before_anything_is_submitted(tmp_path: Path) -> None:
    for options, told in (
        (["prepo_qwen3"], "prepo_qwen3_4b\n"),
        (["none.yaml"], f"there is no {tmp_path}/none.yaml"),
        (["random", "--prepo.selectr", "greso"], "--prepo.selectr: unknown option; did you mean --prepo.selector?"),
    ):
        done = run("train", tmp_path, *options, **DATA)
        assert done.returncode == 2 and told in done.stderr
    assert not (tmp_path / "arguments").exists()


@pytest.mark.parametrize(
    ("statuses", "submitted", "status"),
    [
        ("137 75 0", 3, 0),
        ("2", 1, 2),
        ("1", 1, 1),
        ("130", 1, 130),
        ("137 137 137 137", 4, 137),
        ("75 2", 2, 2),
        ("999", 1, 130),
        ("1000", 1, 1),
    ],
)
def test_a_job_whose_driver_died_is_submitted_again(statuses: str, submitted: int, status: int, tmp_path: Path) -> None:
    """What a driver ended with is asked of `ray.job_submission`, for which a module stands in."""
    (tmp_path / "stand_ins" / "ray").mkdir(parents=True)
    (tmp_path / "stand_ins" / "ray" / "__init__.py").touch()
    (tmp_path / "stand_ins" / "ray" / "job_submission.py").write_text(JOB_SUBMISSION)
    python = tmp_path / "python3"
    choice = "[[ $1 != - ]] || export PYTHONPATH=$STAND_INS"
    python.write_text(f'#!/usr/bin/env bash\n{choice}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {"STATUSES": statuses, "STAND_INS": str(tmp_path / "stand_ins"), "SUBMISSION_ID": "mine"}
    done = run("train", tmp_path, "random", ray=FAILING, **DATA, **environment)
    lines = (tmp_path / "arguments").read_text().splitlines()
    assert (len(lines), done.returncode) == (submitted, status), done.stderr
    ids = ["mine", *(f"mine-again-{number}" for number in range(1, submitted))]
    assert [line.split()[3] for line in lines] == ids
    assert [line.endswith("--ckpt.load_enable") for line in lines] == [False] + [True] * (submitted - 1)


def test_a_script_plans_its_job_instead(tmp_path: Path) -> None:
    done = run("train", tmp_path, "prepo_llama3.1_8b", PLAN="--gpu_memory 16")
    assert done.returncode == 1 and "GPU of policy + engine" in done.stdout and "does not fit" in done.stderr
    assert "1, 7" in done.stdout  # the second node's last GPU
    assert not (tmp_path / "arguments").exists()


def test_the_dashboard_is_open_to_this_machine_alone_unless_asked(tmp_path: Path) -> None:
    arguments = given_to_ray("ray_start_head", tmp_path, "--num-cpus", "4")
    assert arguments[arguments.index("--dashboard-host") + 1] == "127.0.0.1"
    assert arguments[-2:] == ["--num-cpus", "4"]
    arguments = given_to_ray("ray_start_head", tmp_path, DASHBOARD_HOST="0.0.0.0")
    assert arguments[arguments.index("--dashboard-host") + 1] == "0.0.0.0"


@pytest.mark.parametrize(("head", "address"), [("node1", "node1:6379"), ("node1:7000", "node1:7000")])
def test_a_worker_joins_the_head(head: str, address: str, tmp_path: Path) -> None:
    arguments = given_to_ray("ray_start_worker", tmp_path, head)
    assert arguments[:3] == ["start", "--address", address]


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_step_ends_with_its_script(ending: signal.Signals, status: int) -> None:
    """The signal reaches the script alone, as a `kill` does, and the step writes down its own end."""
    step = "trap 'echo ended; exit' TERM; echo begun; for _ in {1..100}; do sleep 0.1; done"
    functions = "source <(sed -n '/^run_step()/,/^}/p' examples/scripts/cpu_ray.sh)"
    command = ["bash", "-c", f'set -euo pipefail; {functions}; run_step bash -c "$1"; echo went on', "script", step]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout and script.stdout.readline() == "begun\n"
        script.send_signal(ending)
        assert script.stdout.read() == "ended\n"
    assert script.returncode == status
