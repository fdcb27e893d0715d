"""The shell scripts: shellcheck finds nothing, and each launch script submits a job that is valid and fits its GPUs.

A `ray` that writes down its arguments stands first in the PATH, so that what is looked at is what would be submitted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tasks import gpu_job

from prepo_rlhf.cli.plan import PlanOptions, training_options
from prepo_rlhf.config import Config
from prepo_rlhf.planning.cluster import Cluster
from prepo_rlhf.planning.cost import Lengths, Speed
from prepo_rlhf.planning.plan import make_plan

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "scripts"
BIN = Path(sys.executable).parent
NODES = {"train_prepo_llama3.1_8b": 2, "train_prepo_llama3.1_8b_2nodes": 2, "train_prepo_llama3.1_8b_4nodes": 4}
GPUS = {"train_prepo_lora_1gpu": 1}
BASELINES = ("train_random", "train_greso", "train_prepo_dynamic_filtering")
MODEL_SCRIPTS = sorted(
    path.stem
    for path in SCRIPTS.glob("train_*.sh")
    if path.stem not in ("train_common", "train_variant", "train_prepo_cpu", *BASELINES)
)
RECORDER = '#!/usr/bin/env bash\nprintf "%s\\0" "$@" >"$RECORD"\n'


def run_script(name: str, folder: Path, *options: str, **environment: str) -> list[str]:
    """The arguments that the script gives to ray."""
    record = folder / "arguments"
    ray = folder / "ray"
    ray.write_text(RECORDER)
    ray.chmod(0o755)
    unset = {"MODEL", "DATA", "EVAL_DATA", "RUN", "NODES", "GPUS", "SCRIPT", "PLAN", "SUBMISSION_ID"}
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    variables |= {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(record)} | environment
    subprocess.run(["bash", SCRIPTS / f"{name}.sh", *options], check=True, env=variables)
    return record.read_text().split("\0")[:-1]


def job_options(arguments: list[str]) -> list[str]:
    """The training options among what `ray job submit` is given."""
    at = arguments.index("--")
    assert arguments[:2] == ["job", "submit"]
    assert arguments[at + 1 : at + 4] == ["python3", "-m", "prepo_rlhf.cli.train_prepo_ray"]
    return arguments[at + 4 :]


def job(name: str, folder: Path, *options: str, **environment: str) -> Config:
    return gpu_job(job_options(run_script(name, folder, *options, **environment)))


def test_shellcheck_finds_nothing() -> None:
    scripts = [*SCRIPTS.glob("*.sh"), *ROOT.glob("tests/*.sh"), ROOT / ".ci" / "run"]
    shellcheck = BIN / "shellcheck"
    command = [shellcheck if shellcheck.is_file() else shutil.which("shellcheck"), "--external-sources", *scripts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [*MODEL_SCRIPTS, *BASELINES])
def test_a_script_submits_a_job_that_fits_gpus_of_80_gib(name: str, tmp_path: Path) -> None:
    given = job_options(run_script(name, tmp_path))
    gpu_job(given)
    cluster = Cluster(NODES.get(name, 1), GPUS.get(name, 8), gpu_memory=80, reserve=4)
    config = training_options(PlanOptions(), given)
    plan = make_plan(config, cluster, 17_000, Lengths(200, 1000), Speed())
    assert not plan.problems
    assert len(plan.placed) == cluster.nodes * cluster.gpus_per_node
    assert plan.engine.sequences >= 32


@pytest.mark.parametrize("name", MODEL_SCRIPTS)
def test_every_model_is_trained_with_the_papers_values(name: str, tmp_path: Path) -> None:
    config = job(name, tmp_path)
    assert config.prepo.selector == "prepo" and config.prepo.entropy_weight == "relative"
    assert config.rollout.n_samples_per_prompt == 8
    assert config.rollout.batch_size / config.prepo.candidate_batch_size == 0.2
    assert config.actor.eps_clip_low_high == (0.2, 0.28)
    assert config.algo.kl.init_coef == 0
    assert config.algo.advantage.estimator == "group_norm"
    assert config.actor.adam.lr == (1e-5 if config.ds.lora.rank else 1e-6)


@pytest.mark.parametrize(
    ("variant", "differs"),
    [
        ("train_random", {"prepo.selector", "prepo.entropy_weight"}),
        ("train_greso", {"prepo.selector", "prepo.entropy_weight"}),
        (
            "train_prepo_dynamic_filtering",
            {"algo.dynamic_filtering_enable", "algo.dynamic_filtering_criterion"},
        ),
        (
            "train_prepo_async",
            {
                "train.async_enable", "train.colocate_all", "vllm.enable_sleep", "ds.enable_sleep", "vllm.num_engines",
                "actor.num_gpus_per_node", "vllm.gpu_memory_utilization", "algo.advantage.is_correction_level",
            },
        ),
    ],
)
def test_a_variant_differs_from_the_models_script_in_its_own_options_alone(
    variant: str, differs: set[str], tmp_path: Path
) -> None:
    records = {"ckpt.output_dir", "ckpt.path", "logger.run_dir", "logger.tensorboard_dir", "logger.wandb.run_name"}
    ours = flat(job("train_prepo_qwen3_4b", tmp_path).to_dict())
    theirs = flat(job(variant, tmp_path, SCRIPT="train_prepo_qwen3_4b.sh").to_dict())
    assert {name for name in ours if ours[name] != theirs[name]} - records == differs
    assert ours["logger.run_dir"] != theirs["logger.run_dir"]


def flat(options: dict, prefix: str = "") -> dict[str, object]:
    result = {}
    for key, value in options.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result


@pytest.mark.parametrize("name", ["train_prepo_qwen2.5_math_7b", "train_random"])
def test_options_on_the_command_line_win(name: str, tmp_path: Path) -> None:
    config = job(name, tmp_path, "--rollout.batch_size", "64", "--prepo.selector", "mopps")
    assert config.rollout.batch_size == 64 and config.prepo.selector == "mopps"


def test_paths_come_from_the_top_or_from_the_environment(tmp_path: Path) -> None:
    config = job("train_prepo_qwen3_4b", tmp_path, DATA="/d.jsonl", EVAL_DATA="/e.jsonl", RUN="/r", MODEL="/m")
    assert config.data.prompt_dataset == "/d.jsonl" and config.eval.dataset == "/e.jsonl"
    assert config.actor.model_name_or_path == "/m" and config.ckpt.path == "/r/checkpoints"


def test_a_script_plans_its_job_instead(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["bash", SCRIPTS / "train_prepo_qwen2.5_math_7b.sh"]
    for plan, status in (("1", 0), ("--gpu_memory 16", 1)):
        done = subprocess.run(command, env=environment | {"PLAN": plan}, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == status, done.stderr
        assert "GPU of policy + engine" in done.stdout


def test_the_dashboard_is_open_to_this_machine_alone_unless_asked(tmp_path: Path) -> None:
    arguments = run_script("ray_start_head", tmp_path, "--num-cpus", "4")
    assert arguments[arguments.index("--dashboard-host") + 1] == "127.0.0.1"
    assert arguments[-2:] == ["--num-cpus", "4"]
    arguments = run_script("ray_start_head", tmp_path, DASHBOARD_HOST="0.0.0.0")
    assert arguments[arguments.index("--dashboard-host") + 1] == "0.0.0.0"


@pytest.mark.parametrize(("head", "address"), [("node1", "node1:6379"), ("node1:7000", "node1:7000")])
def test_a_worker_joins_the_head(head: str, address: str, tmp_path: Path) -> None:
    arguments = run_script("ray_start_worker", tmp_path, head)
    assert arguments[:3] == ["start", "--address", address]


def test_a_choice_of_ours_is_called_one() -> None:
    """Options say in the comment above them whether their values are published."""
    for path in [SCRIPTS / "train_common.sh", *(SCRIPTS / f"{name}.sh" for name in MODEL_SCRIPTS)]:
        script = path.read_text()
        comments = re.findall(r"((?:^#.*\n)+)^(?:[A-Z_]+=\(|exec .*/train_variant)", script, flags=re.MULTILINE)
        assert len(comments) == script.count("=(\n") + script.count("/train_variant.sh")
        assert comments or "train_prepo_llama3.1_8b.sh" in script
        for comment in comments:
            assert re.search("our choice|as published|where the run", comment, flags=re.IGNORECASE), path
