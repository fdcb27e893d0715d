"""Every file in examples/recipes is a job: it is parsed, checked up to where Ray would start, and planned.

A tiny model and made-up problems stand in for what a recipe of a cluster leaves to its user.
"""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from pathlib import Path

import pytest
from chat_models import make_chat_model
from shipped_commands import RECIPES
from tiny_tasks import ROOT, gpu_config, question_rows

from prepo_rlhf.cli.plan import PlanOptions, training_options
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config, check, from_yaml
from prepo_rlhf.config.base import flatten
from prepo_rlhf.planning.cluster import Cluster
from prepo_rlhf.planning.cost import Lengths, Speed
from prepo_rlhf.planning.plan import make_plan
from prepo_rlhf.trainer.preflight import prepare

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
# Recipe of a CPU -> the script that makes what it needs and starts it, and its folder in runs.
ON_CPUS = {
    "prepo_cpu": ("examples/scripts/train_prepo_cpu.sh", "arithmetic"),
    "prepo_words_cpu": ("examples/word_problems/run.sh", "word_problems"),
}
ON_CLUSTERS = [name for name in NAMES if name not in ON_CPUS]
MODELS = {
    "prepo_qwen2.5_math_7b": "Qwen/Qwen2.5-Math-7B",
    "prepo_qwen2.5_math_1.5b": "Qwen/Qwen2.5-Math-1.5B",
    "prepo_qwen2.5_7b": "Qwen/Qwen2.5-7B",
    "prepo_qwen3_4b": "Qwen/Qwen3-4B",
    "prepo_llama3.1_8b": "meta-llama/Llama-3.1-8B-Instruct",
}
BASELINES = ("random", "greso", "mopps", "calibrated")
VARIANTS = {
    "random": {"prepo.selector", "prepo.entropy_weight"},
    "greso": {"prepo.selector", "prepo.entropy_weight"},
    "mopps": {"prepo.selector", "prepo.entropy_weight"},
    "calibrated": {"prepo.selector", "prepo.weight_balance"},
    "prepo_dynamic_filtering": {"algo.dynamic_filtering_enable", "algo.dynamic_filtering_criterion"},
    "prepo_async": {
        "train.async_enable", "train.colocate_all", "vllm.enable_sleep", "ds.enable_sleep", "vllm.num_engines",
        "actor.num_gpus_per_node", "vllm.gpu_memory_utilization", "algo.advantage.is_correction_level",
    },
    "prepo_lora_1gpu": {
        "prepo.candidate_batch_size", "rollout.batch_size", "rollout.vllm_generate_batch_size", "train.batch_size",
        "train.num_episodes", "actor.num_gpus_per_node", "actor.adam.lr", "ds.zero_stage", "ds.lora.rank",
        "ds.lora.alpha", "vllm.num_engines", "vllm.gpu_memory_utilization",
    },
}  # fmt: skip
OF_A_RUN = {"ckpt.output_dir", "ckpt.path", "logger.run_dir", "logger.tensorboard_dir", "logger.wandb.run_name"}


def recipe(name: str) -> str:
    return str(RECIPES / f"{name}.yaml")


@cache
def job(name: str) -> Config:
    given = from_yaml(recipe(name)).replaced({"data.prompt_dataset": "d.jsonl", "eval.dataset": "e.jsonl"})
    return check(gpu_config(given))


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a model with a context as long as any recipe's, and enough problems for a draw."""
    folder = tmp_path_factory.mktemp("stand_ins")
    model = Path(make_chat_model(folder / "model", ["What is 1 + 1?"]))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16384}))
    rows = [{"prompt": row["question"], "answer": row["answer"]} for row in question_rows(700)]
    for name, part in (("train", rows), ("heldout", rows[:20])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return [
        "--actor.model_name_or_path", str(model), "--data.prompt_dataset", str(folder / "train.jsonl"),
        "--eval.dataset", str(folder / "heldout.jsonl"),
    ]  # fmt: skip


def in_folder(folder: Path) -> list[str]:
    run = ("ckpt.output_dir", "ckpt.path", "logger.run_dir")
    return [word for name in run for word in (f"--{name}", str(folder / name))]


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_a_recipe_passes_all_checks_before_ray(name: str, stand_ins: list[str], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        prepared = prepare(job_config(["--config", recipe(name), *stand_ins, *in_folder(tmp_path)]))
    assert len(prepared.train) == 700 and len(prepared.evaluation or ()) == 20


def test_the_recipe_of_the_cpu_passes_them_with_its_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the repository's folder, with data as train_prepo_cpu.sh makes them, but fewer."""
    monkeypatch.chdir(ROOT)
    for name in ("train", "heldout"):
        rows = [{"prompt": f"{number}+1=", "label": str(number + 1)} for number in range(80)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["--data.prompt_dataset", str(tmp_path / "train.jsonl"), "--eval.dataset", str(tmp_path / "heldout.jsonl")]
    config = job_config(["--config", recipe("prepo_cpu"), *data, *in_folder(tmp_path)])
    assert config.backend == "cpu" and config.ckpt.save_steps > 0 and config.eval.steps > 0
    assert len(prepare(config).train) == 80
    script = (ROOT / "examples" / "scripts" / "train_prepo_cpu.sh").read_text()
    given = from_yaml(recipe("prepo_cpu"))
    made = re.search(r"^DATA=\$ROOT/(\S+)", script, flags=re.M)
    assert made and given.data.prompt_dataset == f"{made[1]}/train.jsonl"
    assert given.eval.dataset == f"{made[1]}/heldout.jsonl"


def test_the_recipe_of_word_problems_is_what_its_script_makes(stand_ins: list[str], tmp_path: Path) -> None:
    """Files and folders under its names; 60 steps of 8 prompts from 40, evaluated before and after alone."""
    script = (ROOT / ON_CPUS["prepo_words_cpu"][0]).read_text()
    given = from_yaml(recipe("prepo_words_cpu"))
    files = re.search(r"^FILES=(\S+)", script, flags=re.M)
    assert files and given.actor.model_name_or_path == f"{files[1]}/warm" and "--output_dir $FILES/warm" in script
    assert "--output_dir $FILES/data" in script and given.data.prompt_dataset == f"{files[1]}/data/train.jsonl"
    assert given.eval.dataset == f"{files[1]}/data/held_out.jsonl"
    config = job_config(["--config", recipe("prepo_words_cpu"), *stand_ins, *in_folder(tmp_path)])
    assert config.backend == "cpu" and config.data.label_key == "answer" and len(prepare(config).train) == 700
    steps = config.train.num_episodes * config.data.max_samples / config.prepo.candidate_batch_size
    assert steps == 60 < config.eval.steps and config.eval.n_samples_per_prompt == 16


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_a_recipe_fits_gpus_of_80_gib_and_uses_all_that_it_asks_for(name: str) -> None:
    config = training_options(PlanOptions(), ["--config", recipe(name)])
    nodes, gpus = config.actor.num_nodes, 1 if name == "prepo_lora_1gpu" else 8
    plan = make_plan(config, Cluster(nodes, gpus, gpu_memory=80, reserve=4), 17_000, Lengths(200, 1000), Speed())
    assert not plan.problems
    assert len(plan.placed) == nodes * gpus
    assert plan.engine.sequences >= 32


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_packing_dynamic_batches_checkpoints_and_the_best_model_are_on(name: str) -> None:
    config = job(name)
    assert config.ds.packing_samples and config.train.dynamic_batch_enable
    assert config.ckpt.save_steps > 0 and not config.ckpt.disable_ds
    assert config.eval.steps > 0 and config.ckpt.best_metric_key != "none"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_a_folder_of_its_own(name: str) -> None:
    given, folder = from_yaml(recipe(name)), f"runs/{ON_CPUS[name][1] if name in ON_CPUS else name}"
    assert given.logger.run_dir == folder and given.logger.overwrite
    assert (given.ckpt.path, given.ckpt.output_dir) == (f"{folder}/checkpoints", f"{folder}/model")


@pytest.mark.parametrize("name", sorted(set(ON_CLUSTERS) - set(BASELINES)))
def test_every_model_is_trained_with_the_papers_values(name: str) -> None:
    config = job(name)
    assert config.actor.model_name_or_path == MODELS.get(name, "Qwen/Qwen2.5-Math-7B")
    assert config.prepo.selector == "prepo" and config.prepo.entropy_weight == "relative"
    assert config.rollout.n_samples_per_prompt == 8
    assert config.rollout.batch_size / config.prepo.candidate_batch_size == 0.2
    assert config.actor.eps_clip_low_high == (0.2, 0.28)
    assert config.algo.kl.init_coef == 0
    assert config.algo.advantage.estimator == "group_norm"
    assert config.actor.adam.lr == (1e-5 if config.ds.lora.rank else 1e-6)


def test_there_is_a_recipe_for_each_job() -> None:
    assert set(NAMES) == {*MODELS, *VARIANTS, *ON_CPUS}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_the_models_recipe_in_its_own_options_alone(name: str) -> None:
    ours, theirs = (dict(flatten(job(one).to_dict())) for one in ("prepo_qwen2.5_math_7b", name))
    assert {option for option in ours if ours[option] != theirs[option]} - OF_A_RUN == VARIANTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_of_ours_is_called_one(name: str) -> None:
    """And a recipe begins with what it is and the command that runs it."""
    text = Path(recipe(name)).read_text()
    assert re.search(r"\bour choice", text, flags=re.I)
    script = ON_CPUS[name][0] if name in ON_CPUS else f"examples/scripts/train.sh {name}"
    assert re.match(rf"(#.*\n)+#\n#     .*bash {script}\b", text)
