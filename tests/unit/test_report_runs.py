"""Reading the records of runs, and putting runs together that differ only in their seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import write_run
from tiny_tasks import gpu_config

from prepo_rlhf.analysis.groups import group_by_options, make_groups
from prepo_rlhf.analysis.runs import Run, find_runs, read_runs
from prepo_rlhf.config import ConfigError, GivenConfig
from prepo_rlhf.files.step_rows import StepRows

METRICS = [
    {"step": 0, "eval/default/avg@4": 0.25},
    {"step": 1, "rollout/total": 8, "rollout/total_tokens": 90, "prepo/entropy_mean": 0.5},
    {"step": 2, "rollout/total": 16, "rollout/total_tokens": 200, "prepo/entropy_mean": 0.25},
]
PROMPTS = [
    {"step": 1, "rows": [7, 3], "lengths": [12, 9], "mean_rewards": [0.5, 0.0], "perplexities": [4.0, 2.5]},
    {"step": 2, "rows": [1, 7], "lengths": [20, 12], "mean_rewards": [1.0, 0.75], "perplexities": [3.0, 3.5]},
]


def read(folder: Path) -> Run:
    (run,) = read_runs([str(folder)])
    return run


def test_a_run(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "one", METRICS, PROMPTS, train__seed=5, prepo__selector="low-ppl"))
    assert (run.name, run.seed, run.options["prepo.selector"]) == ("one", 5, "low-ppl")
    assert run.steps["rollout/total"].tolist() == [0, 8, 16]
    assert run.steps["rollout/total_tokens"].tolist() == [0, 90, 200]
    assert run.steps["prepo/entropy_mean"].dropna().tolist() == [0.5, 0.25]
    assert run.prompts["row"].tolist() == [7, 3, 1, 7] and run.prompts["step"].tolist() == [1, 1, 2, 2]
    assert run.prompts["length"].tolist() == [12, 9, 20, 12]
    assert run.prompts["reward"].tolist() == [0.5, 0, 1, 0.75]
    assert run.prompts["perplexity"].tolist() == [4, 2.5, 3, 3.5]


def test_a_row_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "torn", METRICS, PROMPTS)
    for name in ("metrics.jsonl", "prompts.jsonl"):
        text = (folder / name).read_text()
        (folder / name).write_text(text[: -len(text.splitlines()[-1]) // 2])
    run = read(folder)
    assert run.steps["step"].tolist() == [0, 1] and run.prompts["step"].tolist() == [1, 1]


def test_a_resumed_run_reads_like_an_unbroken_one(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "resumed", METRICS, PROMPTS)
    rows = StepRows(folder / "metrics.jsonl", resumed_step=1)
    rows.write(2, {"rollout/total": 24})
    rows.write(3, {"rollout/total": 32})
    rows.close()
    assert read(folder).steps[["step", "rollout/total"]].to_numpy().tolist() == [[0, 0], [1, 8], [2, 24], [3, 32]]


def test_without_prompts_lengths_or_perplexities(tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", METRICS)
    random = [{"step": 1, "rows": [4, 5], "mean_rewards": [0.0, 1.0], "perplexities": [None, None]}]
    assert read(bare).prompts.empty
    prompts = read(write_run(tmp_path / "random", METRICS, random)).prompts
    assert prompts["row"].tolist() == [4, 5] and prompts[["length", "perplexity"]].isna().all().all()


def test_infinite_values_are_left_out(tmp_path: Path) -> None:
    prompts = [PROMPTS[0] | {"perplexities": [float("inf"), 2.5]}]
    rows = [*METRICS, {"step": 3, "prepo/ppl_selected_max": float("inf"), "prepo/entropy_mean": float("nan")}]
    run = read(write_run(tmp_path / "run", rows, prompts))
    assert run.prompts["perplexity"].dropna().tolist() == [2.5]
    assert run.steps["prepo/ppl_selected_max"].isna().all() and run.steps["prepo/entropy_mean"].count() == 2


def test_an_option_of_another_version(tmp_path: Path) -> None:
    """One that is unknown today is kept, one that was unknown then is at today's default."""
    folder = write_run(tmp_path / "old", METRICS)
    (folder / "config.yaml").write_text("prepo:\n  selector: random\n  temperature_of_old: 3\n")
    options = read(folder).options
    assert options["prepo.temperature_of_old"] == 3 and options["prepo.selector"] == "random"
    assert options["train.seed"] == 42 and options["actor.eps_clip_low_high"] == [0.2, 0.28]


def test_folders_of_the_same_name_are_called_by_what_tells_their_paths_apart(tmp_path: Path) -> None:
    folders = [str(write_run(tmp_path / name, METRICS)) for name in ("a/run", "b/run", "other")]
    assert [run.name for run in read_runs(folders)] == ["a/run", "b/run", "other"]


def test_what_is_no_run_is_left_out_with_a_note(tmp_path: Path) -> None:
    """As a shell makes arguments of runs/*."""
    runs = [write_run(tmp_path / name, METRICS) for name in ("a", "b", "before-2025-01-31-235959")]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.log").touch()
    (tmp_path / "judged").mkdir()
    (tmp_path / "judged" / "samples.jsonl").write_text("{}\n")
    write_run(tmp_path / "started", [])
    found, left_out = find_runs([str(path) for path in sorted(tmp_path.iterdir())])
    assert found == [str(run) for run in runs[:2]]
    reasons = dict(line.removeprefix(f"{tmp_path}/").split(" is left out: ") for line in left_out)
    assert reasons == {
        "before-2025-01-31-235959": "a run that was set aside",
        "empty": "there is no metrics.jsonl of a training run in it",
        "file.log": "a file, and no folder of a training run",
        "judged": "an evaluation; eval_math --compare shows those",
        "started": "its metrics.jsonl is empty; the run has finished no step yet",
    }
    assert find_runs([str(runs[2])]) == ([str(runs[2])], [])


def test_nothing_but_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"^--runs {tmp_path}/empty: there is no metrics.jsonl"):
        find_runs([str(tmp_path / "empty")])


def broken(folder: Path, name: str, text: str) -> Path:
    write_run(folder, METRICS, PROMPTS)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics.jsonl", "", "its metrics.jsonl is empty"),
        ("metrics.jsonl", '{"step": 0', "its metrics.jsonl is empty"),
        ("metrics.jsonl", '{"step": 0}\n{"step": 1, \n', "metrics.jsonl: line 2 is not JSON"),
        ("metrics.jsonl", "[1]\n", "metrics.jsonl: line 1 is no row of a step"),
        ("prompts.jsonl", "step 1\n", "prompts.jsonl: line 1 is not JSON"),
        ("config.yaml", "{", r"its config.yaml can't be read"),
        ("config.yaml", "prepo", "its config.yaml holds no options"),
    ],
)
def test_refuses_what_is_broken(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = broken(tmp_path / "run", name, text)
    with pytest.raises(ConfigError, match=f"^--runs {folder}: .*{message}"):
        read(folder)


def test_refuses_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in ((tmp_path / "nowhere", "no such folder"), (tmp_path / "empty", "no metrics.jsonl")):
        with pytest.raises(ConfigError, match=f"^--runs {folder}: there is {message}"):
            read(folder)
    folder = write_run(tmp_path / "run", METRICS)
    with pytest.raises(ConfigError, match="is given 2 times"):
        read_runs([str(folder), f"{folder}/../run"])
    (folder / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="its config.yaml can't be read"):
        read(folder)
    with pytest.raises(ConfigError, match="--runs is missing"):
        read_runs([])


def runs_with(tmp_path: Path, *options: dict[str, object]) -> list[Run]:
    return read_runs([str(write_run(tmp_path / f"run{i}", METRICS, **one)) for i, one in enumerate(options)])


def test_runs_that_differ_in_seed_and_place_are_one_group(tmp_path: Path) -> None:
    runs = runs_with(
        tmp_path,
        {"train__seed": 1, "logger__run_dir": "a", "ckpt__path": "x", "eval__steps": 5, "vllm__num_engines": 2},
        {"prepo__selector": "random", "train__seed": 1},
        {"train__seed": 2, "logger__run_dir": "b", "ckpt__path": "y"},
    )
    groups = group_by_options(runs)
    assert [(group.name, [run.name for run in group.runs]) for group in groups] == [
        ("prepo", ["run0", "run2"]),
        ("random", ["run1"]),
    ]


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("prepo__entropy_weight", "none", "prepo, entropy_weight=none"),
        ("prepo__weight_clip", [0.5, 2.0], "prepo, weight_clip=[0.5, 2.0]"),
        ("algo__dynamic_filtering_enable", True, "prepo, dynamic_filtering_enable=True"),
        ("rollout__temperature", 0.5, "prepo, temperature=0.5"),
        ("actor__model_name_or_path", "models/a", "prepo, model_name_or_path=models/a"),
        ("data__max_samples", 10, "prepo, max_samples=10"),
        ("train__num_episodes", 3, "prepo, num_episodes=3"),
    ],
)
def test_any_option_that_matters_sets_runs_apart(tmp_path: Path, option: str, value: object, name: str) -> None:
    groups = group_by_options(runs_with(tmp_path, {"train__seed": 1}, {"train__seed": 1, option: value}))
    assert len(groups) == 2 and groups[1].name == name


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    """The selector tells the first from the others, the batch size these from each other; 5 episodes add nothing."""
    runs = runs_with(
        tmp_path,
        {"prepo__selector": "random", "train__num_episodes": 5},
        {"rollout__batch_size": 8},
        {"rollout__batch_size": 16, "train__num_episodes": 5},
    )
    names = [group.name for group in group_by_options(runs)]
    assert names == ["random, batch_size=1024", "prepo, batch_size=8", "prepo, batch_size=16"]


def test_options_called_alike_are_named_in_full(tmp_path: Path) -> None:
    runs = runs_with(
        tmp_path,
        {"rollout__batch_size": 8, "train__batch_size": 64},
        {"rollout__batch_size": 16, "train__batch_size": 64},
        {"rollout__batch_size": 8, "train__batch_size": 32},
    )
    assert group_by_options(runs)[2].name == "prepo, rollout.batch_size=8, train.batch_size=32"


def test_groups_by_request(tmp_path: Path) -> None:
    runs = runs_with(tmp_path, {}, {"train__seed": 1}, {"prepo__selector": "random"}, {"prepo__selector": "low-ppl"})
    folder = runs[2].folder
    groups = make_groups(runs, ["Mine=run0,run3", f"Theirs={folder}/"])
    assert [(group.name, [run.name for run in group.runs]) for group in groups] == [
        ("Mine", ["run0", "run3"]),
        ("Theirs", ["run2"]),
        ("prepo", ["run1"]),
    ]
    assert [len(group.runs) for group in make_groups(runs, ["All=run?"])] == [4]


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (["run0"], "--group run0: give NAME=RUN"),
        (["=run0"], "--group =run0: give NAME=RUN"),
        (["A="], "--group A=: give NAME=RUN"),
        (["A=run0,nothing*"], r"--group A=run0,nothing\*: none of --runs is called nothing\*"),
        (["A=run0", "B=run*"], r"--group B=run\*: run0 is in group A already"),
        (["prepo=run1"], "--group prepo: other runs are called that already"),
    ],
)
def test_refuses_groups(tmp_path: Path, requests: list[str], message: str) -> None:
    runs = runs_with(tmp_path, {}, {"prepo__selector": "random"})
    with pytest.raises(ConfigError, match=f"^{message}"):
        make_groups(runs, requests)


def test_the_records_are_what_training_writes(tmp_path: Path) -> None:
    """prompts.jsonl as MetricsLog writes it."""
    from prepo_rlhf.selection.base import PromptOutcome
    from prepo_rlhf.trainer.metrics_log import MetricsLog

    config = gpu_config(GivenConfig().replaced({"logger.run_dir": str(tmp_path / "run")}))
    (tmp_path / "run").mkdir()
    log = MetricsLog(config, total_steps=1, resumed_step=None)
    outcomes = [PromptOutcome(10, (1.0, 0.0, 1.0, 1.0), 3.5, 6, 0.6), PromptOutcome(14, (0.0, 0.0), None, 7)]
    log.write_prompts(1, outcomes)
    log.write(1, {"rollout/total": 6.0, "rollout/total_tokens": 60.0})
    log.close()
    assert json.loads((tmp_path / "run" / "prompts.jsonl").read_text()) == {
        "step": 1, "rows": [10, 14], "lengths": [6, 7], "rollouts": [4, 2], "mean_rewards": [0.75, 0.0],
        "perplexities": [3.5, None],
        "predicted": [0.6, None],
    }  # fmt: skip
    run = read(tmp_path / "run")
    assert run.prompts["length"].tolist() == [6, 7] and run.seed == 42
    assert run.prompts["predicted"].fillna(-1).tolist() == [0.6, -1]
