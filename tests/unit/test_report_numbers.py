"""The numbers of the report, each against a value worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from tiny_runs import write_run

from prepo_rlhf.analysis.correlation import bin_names, correlations, length_edges, spearman, with_thirds
from prepo_rlhf.analysis.groups import Group, group_by_options
from prepo_rlhf.analysis.runs import read_runs
from prepo_rlhf.analysis.section import spread
from prepo_rlhf.analysis.sections import overview, pass_rate, predictions, selected_prompts, timing, window
from prepo_rlhf.analysis.sections.curves import curves
from prepo_rlhf.analysis.series import area, long_table, mean_curve, smoothed
from prepo_rlhf.analysis.style import (
    Look,
    house_style,
    legend_below,
    line_handles,
    looks,
    new_panel,
    perplexity_axis,
    png,
)

ACCURACY = "eval/default/avg@4"
FIRST = [
    {"step": 0, ACCURACY: 0.2},
    {
        "step": 1, "rollout/total": 100, "rollout/total_tokens": 1000, "signal/zero_advantage_ratio": 0.5,
        "timing/score_prompts": 1, "timing/generation": 3, "timing/make_experience": 1, "timing/train": 4,
        "timing/weight_sync": 1,
    },
    {
        "step": 2, "rollout/total": 200, "rollout/total_tokens": 2100, "signal/zero_advantage_ratio": 0.7,
        "timing/score_prompts": 2, "timing/generation": 5, "timing/make_experience": 1, "timing/train": 1,
        "timing/weight_sync": 1, ACCURACY: 0.6,
    },
]  # fmt: skip
SECOND = [
    {"step": 0, ACCURACY: 0.4},
    {"step": 1, "rollout/total": 100, "rollout/total_tokens": 900, "signal/zero_advantage_ratio": 0.2, ACCURACY: 0.5},
    {"step": 2, "rollout/total": 150, "rollout/total_tokens": 1500, "signal/zero_advantage_ratio": 0.2, ACCURACY: 0.8},
]
BLACK = {"prepo": Look("#000000", "-"), "random": Look("#0072B2", "--")}


def groups_of(tmp_path: Path, *runs: tuple[Sequence[dict], Sequence[dict] | None, dict[str, Any]]) -> list[Group]:
    folders = [write_run(tmp_path / f"run{i}", *files, **options) for i, (*files, options) in enumerate(runs)]
    return group_by_options(read_runs([str(folder) for folder in folders]))


@pytest.fixture
def two_seeds(tmp_path: Path) -> list[Group]:
    return groups_of(tmp_path, (FIRST, None, {"train__seed": 1}), (SECOND, None, {"train__seed": 2}))


def test_the_table_of_runs(two_seeds: list[Group]) -> None:
    section = overview.section(two_seeds)
    numbers = section.data["runs"].set_index("run")
    assert numbers.loc["run0", ["group", "seed", "prepo.selector"]].tolist() == ["prepo", 1, "prepo"]
    assert numbers.loc["run0", ["steps", "rollouts", "tokens"]].tolist() == [2, 200, 2100]
    assert numbers.loc["run0", "zero_advantage_ratio"] == pytest.approx(0.6)
    assert numbers.loc["run0", "scoring_share"] == pytest.approx(3 / 20)
    assert isnan(numbers.loc["run1", "scoring_share"])  # its steps recorded no times
    assert numbers[f"{ACCURACY} first"].tolist() == [0.2, 0.4] and numbers[f"{ACCURACY} last"].tolist() == [0.6, 0.8]
    # Both reach 150 rollouts. There the first is at 0.5: half of 0.2 + 0.5. The second: 100 at 0.45, 50 at 0.65.
    assert numbers[f"{ACCURACY} area"].tolist() == pytest.approx([0.35, (100 * 0.45 + 50 * 0.65) / 150])

    cells = dict(zip(section.table.header, section.table.rows[0], strict=True))
    assert len(section.table.rows) == 1 and "(0 to 150)" in section.reading
    assert [cells[name] for name in ("Selector", "Weights", "Seeds")] == ["prepo", "relative", "1, 2"]
    assert cells["Runs, folders"].splitlines() == ["prepo", *(str(run.folder) for run in two_seeds[0].runs)]
    assert (cells["Steps"], cells["Rollouts"], cells["Tokens"]) == ("2", "175\n150 to 200", "1,800\n1,500 to 2,100")
    assert cells["default/avg@4 first"] == "0.300\n0.200 to 0.400"
    assert cells["default/avg@4 area"] == "0.433\n0.350 to 0.517"
    assert (cells["Zero advantage"], cells["Scoring share"]) == ("0.40\n0.20 to 0.60", "15.0%")


def test_a_model_is_shown_by_the_end_of_its_path(tmp_path: Path) -> None:
    paths = "/data/models/qwen", "Qwen/Qwen2.5-Math-7B"
    groups = groups_of(tmp_path, *((FIRST, None, {"actor__model_name_or_path": path}) for path in paths))
    section = overview.section(groups)
    assert [row[section.table.header.index("Model")] for row in section.table.rows] == ["models/qwen", paths[1]]
    assert section.data["runs"]["actor.model_name_or_path"].tolist() == list(paths)


@pytest.mark.parametrize("which", ["x", "y"])
def test_a_wide_range_of_perplexities_has_an_axis_of_plain_numbers(which: Literal["x", "y"]) -> None:
    figure, axes = new_panel("title")
    perplexity_axis(axes, which, pd.Series([2.0, 3_000_000.0]))
    figure.draw_without_rendering()
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    labels = [label.get_text() for label in axis.get_ticklabels()]
    assert axis.get_scale() == "log" and {"100", "10,000", "1,000,000"} <= set(labels)
    assert all(re.fullmatch(r"[\d,.]+", label) for label in labels)
    assert not any(label.get_text() for label in axis.get_minorticklabels())


def test_options_in_which_runs_differ_are_columns(tmp_path: Path) -> None:
    groups = groups_of(tmp_path, (FIRST, None, {}), (FIRST, None, {"prepo__selector": "random", "rollout__top_p": 0.5}))
    section = overview.section(groups)
    assert section.data["runs"]["rollout.top_p"].tolist() == ["1.0", "0.5"]
    assert section.table.header[-1] == "rollout.top_p" and [row[-1] for row in section.table.rows] == ["1.0", "0.5"]


def test_a_run_with_one_evaluation_has_no_area_and_bounds_no_other(tmp_path: Path) -> None:
    groups = groups_of(tmp_path, (FIRST, None, {}), (FIRST[:2], None, {"prepo__selector": "random"}))
    numbers = overview.section(groups).data["runs"]
    assert numbers[f"{ACCURACY} area"][0] == pytest.approx(0.4) and isnan(numbers[f"{ACCURACY} area"][1])
    assert numbers[f"{ACCURACY} last"].tolist() == [0.6, 0.2]


def test_long_table(two_seeds: list[Group]) -> None:
    table = long_table(two_seeds, [ACCURACY, "no/such"])
    assert table.columns.tolist() == ["group", "run", "seed", "step", "rollouts", "tokens", "metric", "value"]
    assert table.to_numpy().tolist() == [
        ["prepo", "run0", 1, 0, 0, 0, ACCURACY, 0.2],
        ["prepo", "run0", 1, 2, 200, 2100, ACCURACY, 0.6],
        ["prepo", "run1", 2, 0, 0, 0, ACCURACY, 0.4],
        ["prepo", "run1", 2, 1, 100, 900, ACCURACY, 0.5],
        ["prepo", "run1", 2, 2, 150, 1500, ACCURACY, 0.8],
    ]


def test_mean_curve(two_seeds: list[Group]) -> None:
    """At 0, 100 and 150 rollouts, as far as both have come; the first is then at 0.2, 0.4 and 0.5."""
    curve = mean_curve(long_table(two_seeds, [ACCURACY]), "rollouts", "value")
    assert curve.index.tolist() == [0, 100, 150]
    assert curve["mean"].tolist() == pytest.approx([0.3, 0.45, 0.65])
    assert curve["low"].tolist() == pytest.approx([0.2, 0.4, 0.5])
    assert curve["high"].tolist() == pytest.approx([0.4, 0.5, 0.8])


def test_mean_curve_of_runs_without_a_common_range() -> None:
    table = pd.DataFrame({"run": ["a", "a", "b"], "step": [1, 2, 5], "value": [1.0, 2.0, 3.0]})
    assert mean_curve(table, "step", "value").empty


def test_smoothing_is_over_a_tenth_of_the_run() -> None:
    values = np.zeros(30)
    values[[0, 15]] = 3.0
    table = pd.DataFrame({"run": "a", "metric": "m", "value": values})
    expected = np.zeros(30)
    expected[[14, 15, 16, 1]] = 1.0
    expected[0] = 1.5  # nothing before it: the mean of two
    assert smoothed(table)["smoothed"].tolist() == expected.tolist()
    assert smoothed(table[:9])["smoothed"].tolist() == values[:9].tolist()


def test_area_outside_of_a_curve_is_unknown() -> None:
    curve = pd.DataFrame({"rollouts": [0, 10], "value": [0.0, 1.0]})
    assert area(curve, 0, 5) == pytest.approx(0.25) and area(curve, 5, 10) == pytest.approx(0.75)
    assert isnan(area(curve, 0, 11)) and isnan(area(curve[:1], 0, 0)) and isnan(area(curve, 5, 5))


def test_a_figure_shows_mean_seeds_and_band(two_seeds: list[Group]) -> None:
    (axes,) = curves(long_table(two_seeds, [ACCURACY]), BLACK, "title", "rollouts", ylabel="accuracy").axes
    first, second, mean = axes.lines
    assert first.get_xdata().tolist() == [0, 200] and second.get_ydata().tolist() == [0.4, 0.5, 0.8]
    assert mean.get_ydata().tolist() == pytest.approx([0.3, 0.45, 0.65])
    assert mean.get_linewidth() > 2 * first.get_linewidth() and len(axes.collections) == 1
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["prepo"]


def test_a_constant_does_not_fill_the_panel(two_seeds: list[Group]) -> None:
    table = long_table(two_seeds, [ACCURACY]).assign(value=[1, 1 + 1e-9, 1, 1, 1 - 1e-9])
    (axes,) = curves(table, BLACK, "weights", "step").axes
    low, high = axes.get_ylim()
    assert low < 0.995 and high > 1.005


def test_looks_differ() -> None:
    shown = looks([str(i) for i in range(20)])
    assert len(set(shown.values())) == 20 and len({look.colour for look in list(shown.values())[:7]}) == 7


def test_a_legend_takes_names_as_they_are() -> None:
    names = ["_hidden $x_1$", "b" * 60]
    with house_style():
        figure, _ = new_panel("title")
        legend_below(figure, line_handles(looks(names)))
        assert png(figure).startswith(b"\x89PNG")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [names[0], "b" * 48 + "\n" + "b" * 12]


@pytest.mark.parametrize(
    ("values", "cell"),
    [([1.0], "1.0"), ([1.0, 2.0], "1.5\n1.0 to 2.0"), ([0.98, 1.02], "1.0"), ([float("nan"), 3.0], "3.0"), ([], "–")],
)
def test_spread(values: list[float], cell: str) -> None:
    assert spread(values, "{:.1f}".format) == cell


def test_thirds() -> None:
    six, four = (pd.DataFrame({"step": range(1, last + 1)}) for last in (6, 4))
    assert with_thirds(six)["third"].tolist() == ["start"] * 2 + ["middle"] * 2 + ["end"] * 2
    assert with_thirds(four)["third"].tolist() == ["start", "start", "middle", "end"]


def test_length_bins() -> None:
    assert length_edges(pd.Series(range(1, 10))) == [3, 6]
    assert bin_names([3, 6]) == ["up to 3 tokens", "4-6 tokens", "over 6 tokens"]
    assert length_edges(pd.Series([5.0] * 4)) == [] and length_edges(pd.Series([float("nan")] * 3)) == []
    assert bin_names([]) == []


def test_spearman() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) of ten ranks in which the first two are exchanged: 1 - 12 / 990."""
    one = pd.Series(range(10))
    assert spearman(one, pd.Series([1, 0, *range(2, 10)])) == pytest.approx(1 - 12 / 990)
    assert spearman(one, -one) == pytest.approx(-1)
    assert isnan(spearman(one, one * 0)) and isnan(spearman(one[:9], one[:9]))


def test_correlations_by_third_within_steps_and_by_length(tmp_path: Path) -> None:
    """In each step a higher perplexity means a lower reward, but from step to step both rise."""
    ten = list(range(10))
    prompts = [
        {
            "step": step,
            "rows": ten,
            "lengths": [*[5] * 5, *[9] * 5],
            "mean_rewards": [step + 0.09 - 0.01 * i for i in ten],
            "perplexities": [step + 0.01 * i for i in ten],
        }
        for step in (1, 2, 3)
    ]
    table = correlations(groups_of(tmp_path, (FIRST, prompts, {"train__seed": 1})))
    table = table.set_index(["third", "prompts"])
    for third in ("start", "middle", "end"):
        assert table.loc[(third, "all"), "spearman"] == pytest.approx(-1)
        assert table.loc[(third, "within steps"), "spearman"] == pytest.approx(-1)
        assert table.loc[(third, "all"), "number"] == 10
    # 30 ranks, in each block of ten reversed: d = 9, 7, 5, 3, 1 twice, so 330 a block.
    assert table.loc[("all", "all"), "spearman"] == pytest.approx(1 - 6 * 990 / (30 * 899))
    assert table.loc[("all", "within steps"), "spearman"] == pytest.approx(-1)
    # 15 ranks, in each block of five reversed: d = 4, 2, 0, 2, 4, so 40 a block.
    for bin_name in ("up to 5 tokens", "over 5 tokens"):
        assert table.loc[("all", bin_name), "number"] == 15
        assert table.loc[("all", bin_name), "spearman"] == pytest.approx(1 - 6 * 120 / (15 * 224))
        assert isnan(table.loc[("start", bin_name), "spearman"])  # five prompts are too few


def test_correlations_of_seeds_are_averaged_and_lengths_may_be_missing(tmp_path: Path) -> None:
    ten = list(range(1, 11))
    up = [{"step": 1, "rows": ten, "mean_rewards": ten, "perplexities": ten}]
    down = [{"step": 1, "rows": ten, "mean_rewards": ten[::-1], "perplexities": ten}]
    groups = groups_of(tmp_path, (FIRST, up, {"train__seed": 1}), (FIRST, down, {"train__seed": 2}))
    section = pass_rate.section(groups)
    assert section.table.header == ["Runs", "Third", "Prompts", "All prompts", "Within steps"]
    assert section.table.rows[0] == ["prepo", "start", "20", "+0.00\n-1.00 to +1.00", "+0.00\n-1.00 to +1.00"]
    assert "Prompt lengths were not recorded" in section.reading
    assert len(section.data["prompts"]) == 20


def test_parts_of_equal_size_by_perplexity() -> None:
    prompts = pd.DataFrame({"perplexity": range(100, 0, -1), "reward": range(100)})
    means = pass_rate.part_means(prompts)
    assert means["perplexity"].tolist() == [5.5 + 10 * i for i in range(10)]
    assert means["reward"].tolist() == [94.5 - 10 * i for i in range(10)]


def test_predictions_beside_what_came_of_them(tmp_path: Path) -> None:
    """Of four prompts two are predicted at 0.2, where half is right, and two at 0.9, where all is; a later one has no
    prediction. Errors: (0.3 + 0.1) / 2, and (0.04 + 0.64 + 2 * 0.01) / 4."""
    prompts = [
        {"step": 1, "rows": [1, 2, 3, 4], "mean_rewards": [0.0, 1.0, 1.0, 1.0], "predicted": [0.2, 0.2, 0.9, 0.9]},
        {"step": 2, "rows": [5], "mean_rewards": [1.0], "predicted": [None]},
    ]
    unpredicted = [{"step": 1, "rows": [1], "mean_rewards": [1.0]}]
    section = predictions.section(groups_of(tmp_path, (FIRST, prompts, {}), (FIRST, unpredicted, {"train__seed": 1})))
    assert section.table.rows[0] == ["prepo", "whole run", "4", "0.550", "0.750", "0.200", "0.175"]
    assert [picture.name for picture in section.pictures] == ["predictions_1_prepo"]
    assert section.data["predictions"]["row"].tolist() == [1, 2, 3, 4]
    certain = pd.DataFrame({"predicted": [0.0, 1.0], "reward": [0.0, 1.0]})
    assert predictions.reliability(certain) == (2, 0.5, 0.5, 0.0, 0.0)


def test_median_step(two_seeds: list[Group]) -> None:
    medians = timing.section(two_seeds).data["timing"].set_index("phase")["seconds"].to_dict()
    assert medians == {"score_prompts": 1.5, "generation": 4, "make_experience": 1, "train": 2.5, "weight_sync": 1}


def test_window(tmp_path: Path) -> None:
    bounds = {"candidates_p10": 2, "candidates_p90": 6, "selected_min": 3, "selected_mean": 3.5, "selected_max": 4}
    rows = [{"step": step} | {f"prepo/ppl_{name}": v * step for name, v in bounds.items()} for step in (1, 2)]
    groups = groups_of(tmp_path, (FIRST, None, {"prepo__selector": "random"}), (rows, None, {}))
    section = window.section(groups)
    assert [picture.name for picture in section.pictures] == ["window_1_prepo"]
    shown = section.data["window"].pivot(index="step", columns="metric", values="value")
    assert shown["prepo/ppl_selected_max"].tolist() == [4, 8] and set(section.data["window"]["group"]) == {"prepo"}


COVERED = [{"step": 1, "rows": [1, 2]}, {"step": 2, "rows": [2, 3]}, {"step": 3, "rows": [1, 4]}]


def test_prompts_without_their_rows_are_left_out(tmp_path: Path) -> None:
    """As in records that keep the lengths alone."""
    groups = groups_of(tmp_path, (FIRST, [{"step": 1, "lengths": [4, 9]}], {}))
    assert selected_prompts.prompts_used(groups).empty
    assert selected_prompts.section(groups, BLACK, None).absent and pass_rate.section(groups).absent


def test_different_prompts_used(tmp_path: Path) -> None:
    groups = groups_of(tmp_path, (FIRST, COVERED, {}), (FIRST, None, {"prepo__selector": "random"}))
    used = selected_prompts.prompts_used(groups)
    assert used.to_numpy().tolist() == [["prepo", "run0", 42, step, value] for step, value in ((1, 2), (2, 3), (3, 4))]


def test_selections_by_subject(tmp_path: Path) -> None:
    """Ten prompts, of which 1 and 2 are algebra: a fifth of the data, all of the first step's, half of the others'."""
    groups = groups_of(tmp_path, (FIRST, COVERED, {}))
    subjects = {row: "algebra" if row in (1, 2) else "geometry" for row in range(10)}
    shares = selected_prompts.subject_shares(groups, selected_prompts.Subjects("topic", lambda run: subjects))
    assert shares[["third", "subject", "prompts", "selections", "ratio"]].to_numpy().tolist() == [
        ["start", "algebra", 2, 2, pytest.approx(5)],
        ["start", "geometry", 8, 0, 0],
        ["middle", "algebra", 2, 1, pytest.approx(2.5)],
        ["middle", "geometry", 8, 1, pytest.approx(0.625)],
        ["end", "algebra", 2, 1, pytest.approx(2.5)],
        ["end", "geometry", 8, 1, pytest.approx(0.625)],
    ]
    section = selected_prompts.section(groups, BLACK, selected_prompts.Subjects("topic", lambda run: subjects))
    assert [picture.name for picture in section.pictures] == ["prompts_used", "subjects_1_prepo"]
    assert "each topic" in section.reading


def test_faults_stand_where_the_step_after_them_begins(tmp_path: Path, two_seeds: list[Group]) -> None:
    faults = zip((0, 0, 2, 2, 3), (0, 0, 0, 1, 1), strict=True)
    steps = [
        {"step": step, "timing/train": 60.0, "run/restarts": restarts, "run/engines_replaced": engines}
        for step, (restarts, engines) in enumerate(faults, start=1)
    ]
    shown = timing.section(groups_of(tmp_path / "broken", (steps, None, {})))
    table = shown.data["faults"][["step", "minutes", "fault", "count"]].to_numpy().tolist()
    assert table == [
        [1, 0, "", 0], [3, 2, "restart", 2], [5, 4, "restart", 1], [4, 3, "engine replaced", 1], [5, 5, "", 0],
    ]  # fmt: skip
    assert [picture.name for picture in shown.pictures] == ["timing", "faults"]
    assert [picture.name for picture in timing.section(two_seeds).pictures] == ["timing"]
