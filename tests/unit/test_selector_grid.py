"""The selectors' benchmark: every method's command is a valid job, and a grid is what it should be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import settings
import yaml
from methods import METHODS, RATED_FILE
from pack import KEPT, pack
from reference_rates import write_rated
from results import ACCURACY, read_cell, signal_table
from results import main as write_results
from run_grid import COMPLETE, Run, command, planned
from settings import ROOT, SETTINGS
from tiny_grids import write_run

from prepo_rlhf.cli.train_prepo_ray import job_config


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_a_valid_job_of_the_right_length(method: str, tmp_path: Path) -> None:
    line = command(Run("weak", method, seed=3, steps=60), tmp_path, tmp_path / "data")
    config = job_config(line[line.index("--ds.packing_samples") :])
    drawn = (config.train.num_episodes - METHODS[method].extra_epochs) * (1200 // config.prepo.candidate_batch_size)
    assert drawn == (63 if config.prepo.candidate_batch_size == 128 else 60)  # 9 steps an epoch do not divide 60
    assert (config.train.seed, config.ds.param_dtype) == (3, "fp32")
    assert config.actor.adam.lr == float(method.rpartition("@")[2] if "@" in method else 1e-4)


def test_word_problems_are_a_setting_like_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = command(Run("words", "calibrated+balanced+2", seed=1, steps=60), tmp_path, tmp_path, learning_rate=2e-5)
    config = job_config(line[line.index("--ds.packing_samples") :])
    assert (config.prepo.candidate_batch_size, config.rollout.batch_size, config.train.num_episodes) == (40, 8, 1)
    assert (config.eval.steps, config.actor.adam.lr, config.reward.remote_url) == (20, 2e-5, "math")
    monkeypatch.setattr(settings, "WORDS", tmp_path / "example")
    with pytest.raises(FileNotFoundError, match="no warm model yet: PREPARE_ONLY=1 bash examples/word_problems/run.sh"):
        SETTINGS["words"].make_data(tmp_path / "data")
    for folder in ("warm", "data"):
        (tmp_path / "example" / folder).mkdir(parents=True)
    (tmp_path / "example" / "warm" / "warm_up.json").touch()
    for name, number in (("train", 3), ("held_out", 100)):
        rows = [{"prompt": f"{i} + 1?", "answer": str(i + 1)} for i in range(number)]
        file = tmp_path / "example" / "data" / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    SETTINGS["words"].make_data(tmp_path / "data")
    train, heldout = ((tmp_path / "data" / name).read_text().splitlines() for name in ("train.jsonl", "heldout.jsonl"))
    assert len(train) == 3 and len(heldout) == 96
    response = r"The answer is \boxed{1}."
    assert json.loads(heldout[0]) == {"prompt": "0 + 1?", "label": "1", "response": response}


def test_methods_without_a_clock_run_once_for_all_lengths() -> None:
    runs = planned(["weak"], ["random", "prepo"], [1, 2])
    of_a_seed = [("random", 150), ("prepo", 150), ("prepo", 60)]
    assert [(run.method, run.steps) for run in runs] == of_a_seed * 2
    assert [run.seed for run in runs] == [1, 1, 1, 2, 2, 2]


def test_results_of_made_up_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is twice as fast as Random saves half of its rollouts, at either length; and with half of the
    tokens a rollout three quarters of those."""
    for seed in (1, 2, 3):
        write_run(tmp_path, "random", seed, speed=1.0)
        write_run(tmp_path, "mopps", seed, speed=2.0, tokens=1500)
    monkeypatch.setattr("sys.argv", ["results.py", "--runs", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    write_results()
    for steps in (60, 150):
        tables = (tmp_path / "out" / f"weak_{steps}.md").read_text()
        (saved,) = [line for line in tables.splitlines() if line.startswith("| mopps | 2.00 [2.00, 2.00] |")]
        columns = [column.strip() for column in saved.split("|")[2:-1]]
        assert columns == ["2.00 [2.00, 2.00]"] * 3 + ["4.00 [4.00, 4.00]"] * 3 + ["0.50"]
        end, as_good = 0.5 - 0.3 * steps / 150, 0.5 - 0.3 * 0.8 * steps / 150
        assert f"| random | 0.500 | {end:.3f} | {as_good:.3f} |" in tables
        assert all((tmp_path / "out" / f"weak_{steps}_{unit}.svg").is_file() for unit in ("rollouts", "tokens"))
        assert (tmp_path / "out" / f"weak_{steps}.csv").read_text().count("\n") == 1 + 2 * 3 * (steps // 10 + 1)


def test_rollouts_before_the_first_step_are_shown_counted_and_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random has 50, 80 and 95% of its gain after 9,600, 15,360 and 18,240 rollouts, twice as fast a method after half
    of them; 19,200 more make 24,000, 26,880 and 28,320."""
    assert METHODS["bots"].upfront(SETTINGS["weak"]) == 19200
    for seed in (1, 2):
        write_run(tmp_path, "random", seed, speed=1.0)
        write_run(tmp_path, "bots", seed, speed=2.0)
    monkeypatch.setattr("sys.argv", ["results.py", "--runs", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    write_results()
    tables = (tmp_path / "out" / "weak_150.md").read_text()
    for name, savings in (("bots", [2, 2, 2]), ("bots, upfront rollouts counted", [0.4, 15360 / 26880, 18240 / 28320])):
        shown = " | ".join(f"{saving:.2f} [{saving:.2f}, {saving:.2f}]" for saving in savings)
        assert f"| {name} | {shown} | {shown} | 1.00 |" in tables
    assert "| bots | code |" in tables and "| random | paper |" in tables


def test_reference_pass_rates_come_from_graded_samples(tmp_path: Path) -> None:
    problems = tmp_path / "train.jsonl"
    problems.write_text("".join(json.dumps({"prompt": name, "label": "1"}) + "\n" for name in "ab"))
    for model, rights in (("weak", (0, 4)), ("strong", (6, 8))):
        (tmp_path / model).mkdir()
        rows = [
            {"benchmark": "train", "problem": str(number), "sample": sample, "score": float(sample < right)}
            for number, right in enumerate(rights)
            for sample in range(8)
        ]
        (tmp_path / model / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rated(problems, tmp_path / "weak", tmp_path / "strong", tmp_path / RATED_FILE)
    assert [json.loads(line) for line in (tmp_path / RATED_FILE).read_text().splitlines()] == [
        {"prompt": "a", "label": "1", "rate_weak": 0.0, "rate_strong": 0.75},
        {"prompt": "b", "label": "1", "rate_weak": 0.5, "rate_strong": 1.0},
    ]
    problems.write_text(problems.read_text() * 2)
    with pytest.raises(ValueError, match=r"weak does not hold 8 samples of each of the 4 problems"):
        write_rated(problems, tmp_path / "weak", tmp_path / "strong", tmp_path / RATED_FILE)


def test_all_runs_of_a_seed_count_where_the_method_has_no_clock(tmp_path: Path) -> None:
    write_run(tmp_path, "random", 1, speed=1.0)
    for seed, length, speed in ((1, 60, 2.0), (2, 60, 2.0), (3, 150, 1.0)):
        write_run(tmp_path, "random", seed, speed, length)
    grid = np.arange(0, 61, 10) * 128.0
    cell = read_cell(tmp_path, "weak", "random", 60, grid)
    assert cell.seeds == [1, 2, 3] and cell.accuracy[:, -1] == pytest.approx([0.38, 0.44, 0.32])
    assert [len(runs) for runs in cell.steps] == [2, 1, 1] and cell.mean("rollout/total") == 128 * 30.5
    assert read_cell(tmp_path, "weak", "random", 150, grid).seeds == [1, 3]
    write_run(tmp_path, "prepo", 1, speed=1.0)  # its clock makes a run of 60 steps another run
    assert read_cell(tmp_path, "weak", "prepo", 60, grid) is None


def test_one_seed_is_shown_without_an_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, "random", 1, speed=1.0)
    write_run(tmp_path, "mopps", 1, speed=2.0)
    monkeypatch.setattr("sys.argv", ["results.py", "--runs", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    write_results()
    tables = (tmp_path / "out" / "weak_150.md").read_text()
    assert "| mopps | 2.00 | 2.00 | 2.00 |" in tables and "| mopps | 1 | 0.400 | 0.600 | 0.800 | +0.300 |" in tables


def test_a_run_that_ended_early_is_refused(tmp_path: Path) -> None:
    """Its last accuracy is not carried on to the budget."""
    write_run(tmp_path, "dynamic", 1, speed=1.0)
    with pytest.raises(ValueError, match=r"dynamic/seed1 ended after 19,200 of 19,328 rollouts: raise extra_epochs"):
        read_cell(tmp_path, "weak", "dynamic", 150, np.array([0, 19328.0]))


def test_packed_records_are_complete_runs_elsewhere(tmp_path: Path) -> None:
    """No path of this machine gets into the archive, and a run that was cut short does not either."""
    write_run(tmp_path, "random", 1, speed=1.0)
    write_run(tmp_path, "random", 2, speed=1.0)
    run = tmp_path / "weak" / "150" / "random" / "seed1"
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"prompt_dataset": f"{ROOT}/runs/train.jsonl"}}))
    (run.with_name("seed2") / COMPLETE).unlink()
    copy = packed(tmp_path, 1) / "weak" / "150" / "random" / "seed1"
    assert {path.name for path in copy.parent.iterdir()} == {"seed1"}
    assert {path.name for path in copy.iterdir()} == {path.name for path in run.iterdir()}
    assert yaml.safe_load((copy / "config.yaml").read_text())["data"]["prompt_dataset"] == "runs/train.jsonl"


def test_packed_records_give_the_same_tables(tmp_path: Path) -> None:
    """Four digits of a metric are enough; accuracies and counts are whole; what nothing reads is gone."""
    metrics = write_run(tmp_path, "random", 1, speed=1.0)
    noise = np.random.default_rng(0)
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    for row in rows[1:]:
        names = ("train/kl", *sorted(set(KEPT) - set(row) - {ACCURACY}))  # a set's order would differ between runs
        row |= {name: float(noise.uniform(0, 3)) for name in names}
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = {"step": 1, "rows": [8, 5], "lengths": [12, 7], "mean_rewards": [0.5, 1.0], "perplexities": [3.1, 2.2]}
    metrics.with_name("prompts.jsonl").write_text(json.dumps(prompts) + "\n")
    copies, grid = packed(tmp_path, 1), np.arange(0, 151, 10) * 128.0
    whole, light = (read_cell(runs, "weak", "random", 150, grid) for runs in (tmp_path, copies))
    assert signal_table({"random": light}) == signal_table({"random": whole}) and "nan" not in signal_table({"": light})
    assert (light.accuracy == whole.accuracy).all() and (light.tokens == whole.tokens).all()
    assert (light.entropy == whole.entropy).all()
    (steps,), (shown,) = whole.steps[0], light.steps[0]
    assert set(steps) - set(shown) == {"train/kl"}
    np.testing.assert_allclose(shown, steps[list(shown)], rtol=5e-4)
    copy = copies / metrics.relative_to(tmp_path)
    assert json.loads(copy.with_name("prompts.jsonl").read_text()) == {"step": 1, "lengths": [7, 12]}


def packed(runs: Path, number: int) -> Path:
    """The folder into which tar has unpacked the archive of `number` runs on `weak`."""
    assert pack(runs, "weak", runs / "weak.tar.xz") == number
    elsewhere = runs / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["tar", "xJf", runs / "weak.tar.xz", "-C", elsewhere], check=True)
    return elsewhere
