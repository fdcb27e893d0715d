"""The report as a whole: page, pictures, tables and errors."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_pages import assert_is_a_drawing, pictures, read_page
from tiny_runs import lifelike_run, write_run

from prepo_rlhf.analysis.page import render
from prepo_rlhf.analysis.report import write_report
from prepo_rlhf.analysis.section import Picture, Section, Table, file_name
from prepo_rlhf.analysis.sections.selected_prompts import Subjects
from prepo_rlhf.cli import report
from prepo_rlhf.config import ConfigError

TITLES = [
    "Runs", "Held-out accuracy", "Learning signal", "Policy entropy", "Perplexity window",
    "Perplexity against pass rate", "Predicted pass rates", "Rollout weights", "Time by phase", "Coverage",
]  # fmt: skip


def test_one_run(tmp_path: Path) -> None:
    lifelike_run(tmp_path / "run", seed=1)
    out = tmp_path / "out"
    assert write_report([str(tmp_path / "run")], str(out)) == out / "report.html"
    page = read_page(out / "report.html")
    assert page.texts["h2"] == TITLES and page.texts["h1"] == page.texts["title"] == ["Training runs: run"]
    assert not any("Left out" in text for text in page.texts["p"])
    embedded = pictures(page)
    assert len(embedded) == 2 + 3 + 1 + 1 + 1 + 1 + 4 + 1 + 1
    assert sorted(embedded) == sorted(path.read_bytes() for path in (out / "figures").glob("*.png"))
    for png in embedded:
        assert_is_a_drawing(png)
    assert all(image["alt"] for image in page.all("img"))
    with (out / "data" / "signals.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 30 and rows[0].keys() >= {"group", "run", "seed", "step", "metric", "value", "smoothed"}
    linked = {link["href"] for link in page.all("a") if not link["href"].startswith("#")}
    assert linked == {f"data/{path.name}" for path in (out / "data").iterdir()}


def test_what_a_run_lacks_is_left_out_with_the_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "bare", [{"step": 0}, {"step": 1, "rollout/total": 8}])
    page = read_page(write_report([str(tmp_path / "bare")], str(tmp_path / "out")))
    reasons = [text for text in page.texts["p"] if text.startswith("Left out: ")]
    assert page.texts["h2"] == TITLES and len(reasons) == 9
    assert "None of the runs has been evaluated" in reasons[0]
    assert not page.all("img") and list((tmp_path / "out" / "data").iterdir()) == [tmp_path / "out/data/runs.csv"]


def test_a_run_before_its_first_step(tmp_path: Path) -> None:
    write_run(tmp_path / "new", [{"step": 0, "eval/default/avg@4": 0.5}], [])
    page = read_page(write_report([str(tmp_path / "new")], str(tmp_path / "out")))
    assert len(page.all("img")) == 2 and "0.500" in page.texts["td"]


def test_runs_of_different_kinds_on_one_page(tmp_path: Path) -> None:
    """One still going, one without evaluations, one of a selector without scores."""
    lifelike_run(tmp_path / "whole", seed=1)
    lifelike_run(tmp_path / "random", seed=1, selector="random")
    going = lifelike_run(tmp_path / "going", seed=2)
    text = (going / "metrics.jsonl").read_text()
    (going / "metrics.jsonl").write_text(text[: len(text) // 2])
    write_run(tmp_path / "bare", [{"step": 1, "prepo/entropy_mean": 0.5}], prepo__selector="high-ppl")
    folders = [str(tmp_path / name) for name in ("whole", "random", "going", "bare")]
    subjects = Subjects("topic", lambda run: {row: f"topic {row % 3}" for row in range(run.prompts["row"].max() + 1)})
    page = read_page(write_report(folders, str(tmp_path / "out"), subjects=subjects))
    assert "4 runs in 3 curves." in page.texts["p"] and not any("Left out" in text for text in page.texts["p"])
    with (tmp_path / "out" / "data" / "runs.csv").open() as file:
        steps = {row["run"]: float(row["steps"]) for row in csv.DictReader(file)}
    assert steps["whole"] == 30 and 10 < steps["going"] < 20 and steps["bare"] == 1


def test_text_is_text(tmp_path: Path) -> None:
    """Names may hold what HTML, mathematical text, formats and legends treat as more than characters."""
    name = '_<script>alert("1")</script>&amp; $\\frac$ {0} %s'
    lifelike_run(tmp_path / "run", seed=1, steps=3)
    write_report([str(tmp_path / "run")], str(tmp_path / "out"), [f"{name}=run"])
    page = read_page(tmp_path / "out" / "report.html")
    assert not page.all("script") and name in page.texts["td"]
    assert any(name in (image["alt"] or "") for image in page.all("img"))
    with (tmp_path / "out" / "data" / "entropy.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {name}


def test_titles_of_panels_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ten sections' panels, of one curve and of two."""
    titles: list[str] = []
    monkeypatch.setattr(Figure, "savefig", _noting(titles, Figure.savefig))
    for name, selector in (("a", "prepo"), ("b", "low-ppl")):
        lifelike_run(tmp_path / name, seed=1, steps=3, selector=selector)
    subjects = Subjects("topic", lambda run: {row: "topic" for row in range(2400)})
    write_report([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path / "out"), subjects=subjects)
    assert len(titles) == len(set(titles)) == 2 + 3 + 1 + 2 + 2 + 2 + 4 + 1 + 1 + 2


def _noting(titles: list[str], save: Callable[..., None]) -> Callable[..., None]:
    def noting(figure: Figure, *args: object, **options: object) -> None:
        titles.extend(axes.get_title() for axes in figure.axes)
        save(figure, *args, **options)

    return noting


def test_every_part_of_a_section_is_escaped() -> None:
    table = Table(["<b>h"], [["<b>c\n<b>d"]], texts=0)
    section = Section("<b>t", "<b>r", "<b>a", table, [Picture("p", '"<b>', b"")])
    text = render("<b>title", "<b>summary", [section])
    assert "<b>" not in text and text.count("&lt;b&gt;") == 2 + 1 + 1 + 7
    assert '<img alt="&#34;&lt;b&gt;"' in text


def test_names_of_files() -> None:
    assert file_name("window", 3, "../a b/<c>: lr=1e-06") == "window_3_.._a_b_c_lr_1e-06"
    assert len(file_name("x" * 300)) == 80


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    lifelike_run(tmp_path / "run", seed=1, steps=5)
    page = read_page(write_report([str(tmp_path / "run")], str(tmp_path / "out")))
    loaded = [attributes.get("src", attributes.get("href")) for tag, attributes in page.tags if tag != "a"]
    assert all(address.startswith("data:") for address in loaded if address)
    targets = {attributes.get("id") for _, attributes in page.tags}
    sections = [link["href"][1:] for link in page.all("a") if link["href"].startswith("#")]
    assert sections and set(sections) <= targets
    assert "url(" not in page.texts["style"][0] and "@import" not in page.texts["style"][0]


def test_the_same_runs_make_the_same_report(tmp_path: Path) -> None:
    lifelike_run(tmp_path / "run", seed=1, steps=5)
    first, second = (write_report([str(tmp_path / "run")], str(tmp_path / name)).read_bytes() for name in "ab")
    assert first == second


def test_an_output_folder_that_cannot_be(tmp_path: Path) -> None:
    run = lifelike_run(tmp_path / "run", seed=1, steps=3)
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=f"^--output_dir {output}: the report can't be written there"):
            write_report([str(run)], str(output))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a_1", "a_2", "b_1"):
        lifelike_run(tmp_path / name, seed=1, steps=3)
    arguments = ["--runs", *(str(tmp_path / name) for name in ("a_1", "a_2", "b_1"))]
    arguments += ["--output_dir", str(tmp_path / "out"), "--group", "A=a_*", "--group", "B=b_1"]
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    assert report.main() == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{tmp_path}/out/report.html\n", "")
    cells = read_page(tmp_path / "out" / "report.html").texts["td"]
    assert "A" in cells and "B" in cells


def test_the_command_leaves_out_what_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lifelike_run(tmp_path / "run", seed=1, steps=3)
    (tmp_path / "log.txt").touch()
    arguments = ["--runs", str(tmp_path / "log.txt"), str(run), "--output_dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    assert report.main() == 0
    printed = capsys.readouterr()
    assert printed.err == f"report: {tmp_path}/log.txt is left out: a file, and no folder of a training run\n"
    assert "1 run in 1 curve." in read_page(tmp_path / "out" / "report.html").texts["p"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--runs is missing"),
        (["--runs", "nowhere"], "--runs nowhere: there is no such folder"),
        (["--runs", "run", "--group", "A"], "--group A: give NAME=RUN"),
        (["--runs", "run", "--output_dir", "run/metrics.jsonl"], "--output_dir run/metrics.jsonl: the report can't be"),
    ],
)
def test_mistakes_end_the_command_with_2_and_a_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    lifelike_run(tmp_path / "run", seed=1, steps=3, data__prompt_dataset="gone.jsonl")
    command = [sys.executable, "-m", "prepo_rlhf.cli.report", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and f"report: {message}" in done.stderr and "Traceback" not in done.stderr
