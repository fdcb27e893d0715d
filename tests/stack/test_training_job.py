"""The training command line from end to end, on the real stack."""

from __future__ import annotations

from math import floor
from pathlib import Path

import pytest
import yaml
from finished_runs import FinishedRun
from tiny_models import make_tiny_model
from tiny_tasks import job_options, question_rows, read_metrics, run_job
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.usefixtures("ray_head")

EVERY_STEP = """
prepo/progress prepo/window_start prepo/ppl_candidates_p10 prepo/ppl_candidates_p50 prepo/ppl_candidates_p90
prepo/ppl_selected_min prepo/ppl_selected_mean prepo/ppl_selected_max prepo/weight_min prepo/weight_mean
prepo/weight_max prepo/weight_std prepo/entropy_mean signal/zero_advantage_ratio signal/all_correct_ratio
signal/all_wrong_ratio rollout/total rollout/total_tokens timing/score_prompts timing/generation
timing/make_experience timing/train timing/weight_sync rollout/staleness_mean rollout/staleness_max
rollout/mixed_weights_ratio
""".split()


def assert_follows_the_schedule(steps: list[dict[str, float]], num_candidates: int, num_selected: int) -> None:
    assert steps[0]["prepo/progress"] == 0 and steps[-1]["prepo/progress"] == 1
    for row in steps:
        assert row["prepo/window_start"] == floor(row["prepo/progress"] * (num_candidates - num_selected))
        assert row["prepo/weight_mean"] == pytest.approx(1, abs=1e-5)
        assert row["prepo/ppl_selected_min"] <= row["prepo/ppl_selected_mean"] <= row["prepo/ppl_selected_max"]
        assert 1 < row["prepo/ppl_selected_min"]


def test_what_a_run_leaves(finished_run: FinishedRun) -> None:
    """Metrics, files and best model."""
    folder = finished_run.folder
    last_lines = f"Model: {folder}/model\nRecords: {folder}\nReport: python -m prepo_rlhf.cli.report --runs {folder}\n"
    assert finished_run.stdout.endswith(last_lines)
    assert "120 training prompts; left out because they do not fit: 0" in finished_run.stdout
    rows = read_metrics(folder)
    steps = rows[1:]
    assert [row["step"] for row in rows] == list(range(13))
    assert_follows_the_schedule(steps, num_candidates=20, num_selected=4)
    assert all(name in row for row in steps for name in EVERY_STEP)
    assert [row["rollout/total"] for row in steps] == [16 * row["step"] for row in steps]
    evaluated = rows[::3]
    assert all({"eval/default/avg@2", "eval/default/pass@2"} <= row.keys() for row in evaluated)
    assert yaml.safe_load((folder / "config.yaml").read_text())["prepo"]["candidate_batch_size"] == 20
    assert list((folder / "tensorboard").glob("events*"))
    AutoModelForCausalLM.from_pretrained(folder / "model")
    best = max(evaluated, key=lambda row: row["eval/default/avg@2"])["step"]
    tags = {path.name for path in (folder / "checkpoints" / "_actor").iterdir()}
    assert {"global_step10", "global_step12"} <= tags
    assert best == 0 or f"best_global_step{best}" in tags


def test_a_run_is_not_resumed_as_another(finished_run: FinishedRun) -> None:
    options = finished_run.options_in(finished_run.folder)
    other = run_job([*options, "--ckpt.load_enable", "--train.seed", "1", "--prepo.selector", "random"])
    assert other.returncode == 2
    assert "--train.seed was 42 and is now 1" in other.stderr and "--prepo.selector" in other.stderr


def test_a_finished_run_is_neither_written_over_nor_saved_again(finished_run: FinishedRun) -> None:
    options = finished_run.options_in(finished_run.folder)
    before = changes_of(finished_run.folder)
    anew, resumed = run_job(options), run_job([*options, "--ckpt.load_enable"])
    assert anew.returncode == 2 and "another run wrote that. Give --ckpt.load_enable" in anew.stderr
    assert resumed.returncode == 0 and "is finished, after step 12, and its model is in" in resumed.stdout
    assert changes_of(finished_run.folder) == before


def changes_of(folder: Path) -> dict[Path, int]:
    """When each file was changed last."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"algo__dynamic_filtering_enable": True, "prepo__selector": "mopps", "vllm__num_engines": 2},
            id="dynamic-filtering-two-engines-mopps",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "algo__dynamic_filtering_enable": True,
                "algo__dynamic_filtering_criterion": "zero-variance",
                "prepo__weight_balance": "sign",
                "prepo__pacing": "sqrt",
                "prepo__ppl_length_bins": 2,
                "ds__packing_samples": True,
            },
            id="packed-zero-variance-filtering-balanced-weights-length-bins",
        ),
        pytest.param(
            {
                "train__async_enable": True,
                "train__partial_rollout_enable": True,
                "prepo__selector": "calibrated",
                "algo__advantage__is_correction_level": "token",
                "actor__policy_loss_type": "ppo",
                "ds__lora__rank": 4,
            },
            id="partial-rollout-importance-correction-lora-calibrated",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "ds__param_dtype": "bf16",
                "train__colocate_all": True,
                "actor__num_gpus_per_node": 2,
                "ref__num_gpus_per_node": 2,
                "vllm__num_engines": 2,
                "ds__zero_stage": 3,
                "algo__kl__init_coef": 0.01,
                "algo__kl__use_loss": True,
                "algo__kl__estimator": "k3",
                "prepo__score_with": "actor",
                "train__micro_batch_size": 2,
                "actor__policy_loss_type": "gspo",
                "prepo__entropy_mean": "token",
            },
            id="bf16-colocated-zero3-kl-gspo-scored-by-actor",
            marks=pytest.mark.long,
        ),
    ],
)
def test_variants_run(
    changes: dict[str, object], tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    done = run_job(job_options(tiny_llama, tiny_data, parity_reward, tmp_path, data__max_samples=60, **changes))
    assert done.returncode == 0, done.stderr
    steps = read_metrics(tmp_path)
    assert steps and steps[-1]["step"] == len(steps)
    assert all(row["train/grad_norm"] > 0 for row in steps if row["signal/zero_advantage_ratio"] < 1)
    bound = 1 if "train__async_enable" in changes else 0  # --train.async_queue_size
    assert steps[0]["rollout/staleness_max"] == 0 and all(row["rollout/staleness_max"] <= bound for row in steps)
    assert "train__partial_rollout_enable" in changes or all(row["rollout/mixed_weights_ratio"] == 0 for row in steps)
    filtering = "algo__dynamic_filtering_enable" in changes
    assert all(row["rollout/total"] >= 16 * row["step"] for row in steps)
    assert all(row["rollout/staleness_max"] <= ("train__async_enable" in changes) for row in steps)
    assert filtering or len(steps) == 3 and steps[-1]["rollout/total"] == 48
    if changes.get("prepo__weight_balance") == "sign":
        means = [row[f"prepo/weight_{sign}_mean"] for row in steps for sign in ("positive", "negative")]
        assert means == pytest.approx([1] * len(means), abs=1e-5)
    if changes.get("prepo__selector") == "mopps":
        assert steps[0]["timing/score_prompts"] == 0 and "prepo/ppl_selected_min" not in steps[0]


@pytest.mark.long
def test_dapo_chat_lists_in_parquet(benchmarks: Path, parity_reward: str, tmp_path: Path) -> None:
    """In a model's own chat template, ranked by the perplexity of the question alone."""
    model = make_tiny_model(tmp_path / "qwen", [row["question"] for row in question_rows(200)], family="qwen2")
    options = job_options(
        model, str(benchmarks / "dapo_math_17k.parquet"), parity_reward, tmp_path, data__max_samples=100,
        data__input_key="prompt", data__label_key="reward_model.ground_truth", data__apply_chat_template=True,
        data__max_len=600, prepo__ppl_tokens="question",
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 0, done.stderr
    assert_follows_the_schedule(read_metrics(tmp_path), 20, 4)


@pytest.mark.long  # the same end as that of a reward that is NaN, in test_not_finite
def test_a_reward_that_raises_stops_the_run_with_its_traceback(tiny_llama: str, tiny_data: str, tmp_path: Path) -> None:
    reward = tmp_path / "broken.py"
    reward.write_text("def reward_func(queries, prompts, labels):\n    raise ZeroDivisionError('of this reward')\n")
    done = run_job(job_options(tiny_llama, tiny_data, str(reward), tmp_path))
    assert done.returncode not in (0, 2)
    assert "ZeroDivisionError: of this reward" in done.stderr and "broken.py" in done.stderr


def test_a_cluster_that_is_too_small_is_refused(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    done = run_job(job_options(tiny_llama, tiny_data, parity_reward, tmp_path, vllm__num_engines=20))
    assert done.returncode == 2
    assert "has 8 GPUs and the job needs 21" in done.stderr and "--vllm.num_engines" in done.stderr
