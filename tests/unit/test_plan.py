"""Plans of whole jobs: where they are placed, how long they run, what they compute, and when they can't fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from prepo_rlhf.cli.plan import PlanOptions, main, training_options
from prepo_rlhf.config.bundles import bundle_groups, required_bundles
from prepo_rlhf.planning.cluster import Cluster, place
from prepo_rlhf.planning.cost import Lengths, Speed
from prepo_rlhf.planning.plan import Plan, make_plan
from prepo_rlhf.planning.tables import step_seconds, tables

MODEL = "Qwen/Qwen2.5-Math-1.5B"
NODE = Cluster(nodes=1, gpus_per_node=8, gpu_memory=80, reserve=4)
TOGETHER = (
    "--actor.num_gpus_per_node 8 --vllm.num_engines 8 --train.colocate_all --vllm.enable_sleep --ds.enable_sleep "
    "--vllm.gpu_memory_utilization 0.6 --rollout.batch_size 128"
)


def plan(flags: str, cluster: Cluster = NODE, prompts: int | None = None, speed: Speed = Speed()) -> Plan:  # noqa: B008
    config = training_options(PlanOptions(model=MODEL), flags.split())
    return make_plan(config, cluster, prompts, Lengths(200, 800), speed)


def test_everything_together_has_a_policy_and_an_engine_on_each_gpu() -> None:
    made = plan(TOGETHER)
    assert [bundle.actors for bundle in made.placed] == [(f"policy {i}", f"engine {i}") for i in range(8)]
    assert [(bundle.node, bundle.gpu) for bundle in made.placed] == [(0, i) for i in range(8)]
    assert not made.problems


def test_separate_gpus_fill_nodes_group_by_group() -> None:
    config = training_options(
        PlanOptions(model=MODEL),
        "--actor.num_gpus_per_node 4 --vllm.num_engines 2 --vllm.tensor_parallel_size 2 --algo.kl.init_coef 0.1 "
        "--ref.num_gpus_per_node 2".split(),
    )
    placed = place(config, Cluster(2, 6, 80, 4))
    assert required_bundles(config) == len(placed) == 10
    where = {actor: (bundle.node, bundle.gpu) for bundle in placed for actor in bundle.actors}
    assert [where[f"policy {rank}"] for rank in range(4)] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert [where[f"reference {rank}"] for rank in range(2)] == [(0, 4), (0, 5)]
    assert [where[f"engine {i}.{j}"] for i in range(2) for j in range(2)] == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_a_policy_of_several_nodes_is_spread_over_them() -> None:
    config = training_options(
        PlanOptions(model=MODEL),
        "--actor.num_nodes 2 --actor.num_gpus_per_node 3 --vllm.num_engines 5 --train.batch_size 126 "
        "--rollout.batch_size 126".split(),
    )
    where = {actor: b.node for b in place(config, Cluster(2, 6, 80, 4)) for actor in b.actors}
    assert [where[f"policy {rank}"] for rank in range(6)] == [0, 0, 0, 1, 1, 1]
    assert sorted(where[f"engine {i}"] for i in range(5)) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("nodes", [Cluster(1, 8, 80, 4), Cluster(4, 2, 80, 4)])
def test_nodes_that_are_not_there_are_refused(nodes: Cluster) -> None:
    flags = "--actor.num_nodes 2 --actor.num_gpus_per_node 3 --vllm.num_engines 2 --train.batch_size 126"
    problems = plan(flags + " --rollout.batch_size 126", nodes).problems
    assert any(problem.startswith("--actor.num_nodes 2: ") for problem in problems)


def test_a_reference_model_that_finds_no_nodes_is_refused() -> None:
    flags = "--actor.num_gpus_per_node 4 --ref.num_nodes 2 --ref.num_gpus_per_node 1 --algo.kl.init_coef 0.1"
    problems = plan(flags + " --vllm.num_engines 1", Cluster(2, 4, 80, 4)).problems
    assert any(problem.startswith("--ref.num_nodes") for problem in problems)


@pytest.mark.parametrize(
    ("flags", "bundles"),
    [
        ("--actor.num_gpus_per_node 4 --vllm.num_engines 3", 7),
        ("--actor.num_gpus_per_node 4 --vllm.num_engines 4 --train.colocate_all", 4),
        ("--actor.num_gpus_per_node 4 --vllm.num_engines 4 --train.colocate_all --train.async_enable", 8),
        ("--actor.num_gpus_per_node 4 --vllm.num_engines 1 --algo.kl.init_coef 0.1 --ref.num_gpus_per_node 2", 7),
        (
            "--actor.num_gpus_per_node 4 --vllm.num_engines 1 --algo.kl.init_coef 0.1 --ref.num_gpus_per_node 4 "
            "--train.colocate_actor_ref",
            5,
        ),
    ],
)
def test_bundles_of_each_layout(flags: str, bundles: int) -> None:
    config = training_options(PlanOptions(model=MODEL), flags.split())
    assert required_bundles(config) == bundles == len(place(config, NODE))
    actors = [actor for group in bundle_groups(config) for bundle in group.bundles for actor in bundle]
    assert len(actors) == len(set(actors))


@pytest.mark.parametrize(
    ("flags", "cluster", "named"),
    [
        ("--vllm.num_engines 8", NODE, "--train.colocate_all"),
        (TOGETHER, Cluster(1, 4, 80, 4), "--actor.num_gpus_per_node"),
        (TOGETHER, Cluster(1, 8, 12, 4), "--vllm.gpu_memory_utilization"),
        (TOGETHER.replace("--vllm.enable_sleep ", ""), Cluster(1, 8, 26, 4), "--vllm.enable_sleep"),
        (TOGETHER.replace("--ds.enable_sleep ", "").replace("0.6", "0.9"), NODE, "--ds.enable_sleep"),
        (
            TOGETHER + " --train.batch_size 256 --train.micro_batch_size 32 --data.max_len 4096",
            NODE,
            "--actor.gradient_checkpointing_enable",
        ),
        (
            "--actor.num_gpus_per_node 4 --vllm.num_engines 1 --vllm.tensor_parallel_size 4",
            Cluster(4, 2, 80, 4),
            "--vllm.tensor_parallel_size 4",
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_the_option_to_change(flags: str, cluster: Cluster, named: str) -> None:
    assert any(named in problem for problem in plan(flags, cluster).problems)


def test_remedies_are_remedies() -> None:
    """Each option that the refusal names makes the job smaller, and together they make it fit."""
    flags, small = TOGETHER + " --train.micro_batch_size 4 --data.max_len 4096", Cluster(1, 8, 40, 4)
    before = plan(flags, small)
    assert before.problems
    needed = before.memory[0].training
    for remedy in ("--ds.zero_stage 3", "--actor.gradient_checkpointing_enable", "--train.micro_batch_size 1"):
        assert remedy.split()[0] in before.problems[0]
        flags = f"{flags} {remedy}"
        after = plan(flags, small).memory[0].training
        assert after < needed
        needed = after
    assert not plan(flags, small).problems


def test_the_schedule_counts_steps_updates_and_rollouts() -> None:
    made = plan(TOGETHER + " --train.num_episodes 3 --train.batch_size 256", prompts=17000).schedule
    assert (made.steps_per_episode, made.steps, made.updates_per_step) == (26, 78, 4)
    assert made.rollouts == 78 * 128 * 8 and made.unselected == 5 * made.rollouts


def test_pilots_change_no_count_but_that_of_prompts(capfd: pytest.CaptureFixture[str]) -> None:
    pilot = " --prepo.allocation pilot --prepo.pilot_samples 2"
    fixed, made = plan(TOGETHER, prompts=17000), plan(TOGETHER + pilot, prompts=17000)
    assert made.schedule == fixed.schedule
    Console(width=200).print(tables(made))
    assert "at most 8 of 128 prompts a step or 2 of up to 512" in " ".join(capfd.readouterr().out.split())


def test_a_local_dataset_is_counted(tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    data.write_text("".join(json.dumps({"input": str(i)}) + "\n" for i in range(1300)))
    assert plan(f"{TOGETHER} --data.prompt_dataset {data}").schedule.steps == 2
    assert plan(f"{TOGETHER} --data.prompt_dataset {data} --data.max_samples 700").schedule.steps == 1


def test_the_arithmetic_of_a_step() -> None:
    speed = Speed(tflops=100, tokens_per_second=1000)
    made = plan(TOGETHER + " --actor.gradient_checkpointing_enable --vllm.no_enable_prefix_caching", speed=speed)
    flops = {phase.name: phase.flops for phase in made.phases}
    forward, sequences = 2 * 1_543_714_304, 128 * 8
    assert flops == {
        "score prompts": forward * 640 * 200,
        "read prompts": forward * sequences * 200,
        "generate": forward * sequences * 800,
        "old log-probs": forward * sequences * 1000,
        "train": 4 * forward * sequences * 1000,
    }
    replaying = plan(TOGETHER + " --actor.gradient_checkpointing_enable --train.replay_depth 2").phases
    assert {phase.name: phase.flops for phase in replaying}["train"] == 3 * flops["train"]
    computed = sum(flops.values()) - flops["generate"]
    assert step_seconds(made) == pytest.approx(computed / (8 * 100e12) + sequences * 800 / (8 * 1000))
    assert step_seconds(plan(TOGETHER)) is None


def test_random_pays_nothing_for_scoring_and_a_cache_saves_reading_prompts_again() -> None:
    random = {phase.name: phase.flops for phase in plan(TOGETHER + " --prepo.selector random").phases}
    cached = {phase.name: phase.flops for phase in plan(TOGETHER).phases}
    assert random["score prompts"] == 0 and cached["read prompts"] == 0


def test_the_command_prints_tables_and_says_no_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", MODEL, "--prompts", "17000"]) == 0
    printed = capfd.readouterr().out
    assert "steps in 1 episodes" in printed
    spare = r"plan: fits: the fullest GPU \(policy \+ engine\) needs ([\d.]+) of 80 GiB while .+ has ([\d.]+) to spare"
    needed, left = map(float, re.search(spare, printed.splitlines()[-1]).groups())
    assert needed + left == pytest.approx(80, abs=0.11) and needed > 0.6 * 80
    assert main(["--model", MODEL, "--gpu_memory", "10"]) == 1
    assert "does not fit: a GPU of policy + engine" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--actor.model_name_or_path is missing"),
        (["--model", MODEL, "--nodes", "0"], "--nodes 0"),
        (["--model", MODEL, "--reserve", "90"], "--reserve 90"),
        (["--model", MODEL, "--prompts", "100"], "--prepo.candidate_batch_size 640"),
        (["--model", MODEL, "--", "--ds.zero_stage", "4"], "--ds.zero_stage 4"),
    ],
)
def test_wrong_options_are_refused_by_name(
    arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert named in capfd.readouterr().err


SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "qwen3_moe", **SIZES, "num_experts": 4}, "is a mixture of experts"),
        ({"model_type": "mixtral", **SIZES, "num_local_experts": 4}, "is a mixture of experts"),
        ({"model_type": "llama4", "text_config": SIZES | {"num_local_experts": 2}}, "is a mixture of experts"),
        ({"model_type": "gemma3", "text_config": SIZES}, "also reads images or sound"),
        ({"model_type": "qwen2_5_vl", "text_config": SIZES}, "also reads images or sound"),
        ({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4}, "has no intermediate_size"),
    ],
)
def test_a_model_without_formulas_is_refused(
    config: dict[str, object], kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["--model", str(tmp_path)]) == 2
    assert f"plan: --actor.model_name_or_path {tmp_path}: {kind}" in capfd.readouterr().err
