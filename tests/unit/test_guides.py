"""The guides and every other page: their code runs, their commands name files, options and pages that there are."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymdownx.slugs import slugify
from tiny_tasks import ROOT

from prepo_rlhf.cli.data import DataOptions
from prepo_rlhf.cli.plan import PlanOptions
from prepo_rlhf.cli.prepo import COMMANDS
from prepo_rlhf.cli.report import ReportOptions
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.root import GivenConfig
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.rewards.contract import Rollouts
from prepo_rlhf.rewards.sources import make_reward

PAGES = sorted(path for top in ("", "docs/**/", "examples/**/", "benchmarks/**/") for path in ROOT.glob(f"{top}*.md"))
OPTIONS = {
    "train_prepo_ray": {*option_types(GivenConfig), "config", "print_config"},
    "eval_math": set(option_types(BenchmarkOptions)),
    "plan": set(option_types(PlanOptions)),
    "report": set(option_types(ReportOptions)),
    "summary": set(),
    "data": {"from", *option_types(DataOptions)} - {"name", "source"},
}
FOLDERS = ("examples/", "tests/", "benchmarks/", "docs/", "dockerfile/", "prepo_rlhf/")
REWARDS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guides" / "my_reward.md").read_text(), re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command in a page's blocks of shell; `;` and the like end one."""
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        text = re.sub(r"\\\n", " ", re.sub(r"\$\([^)]*\)", "computed", block))
        for line in text.splitlines():
            if line.count('"') % 2 == 0:  # not a program in several lines
                words = shlex.split(line, comments=True)
                at = [n for n, word in enumerate(words) if word in ("&&", "||", "|", "do") or word.endswith(";")]
                for start, end in zip([0, *(n + 1 for n in at)], [*at, len(words)], strict=True):
                    yield words[start:end]


def program(words: list[str]) -> tuple[str, list[str]]:
    """Which of our programs a command starts, if any, and what it is given."""
    for n, word in enumerate(words):
        if re.fullmatch(r"(.*/)?prepo", word) and words[n + 1 :]:
            return COMMANDS[words[n + 1]][0], words[n + 2 :]
        if found := re.fullmatch(r"prepo_rlhf\.cli\.(\w+)", word):
            return found[1], words[n + 1 :]
        if re.search(r"/(slurm_)?train(_[\w.]+)?\.sh$", word):
            return "train_prepo_ray", words[n + 1 :]
        if re.search(r"/eval_\w[\w.]*\.sh$", word):
            return "eval_math", words[n + 1 :]
    return "", []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_files_and_options_that_there_are(page: Path) -> None:
    for words in commands(page):
        for word in words:
            if word.startswith(FOLDERS) and not re.search(r"[$*{]", word):
                assert Path(ROOT, word.partition("::")[0]).exists(), f"{' '.join(words)}: there is no {word}"
        name, given = program(words)
        own = given[: given.index("--")] if "--" in given else given
        names = {word[2:].partition("=")[0] for word in own if re.match(r"--\w", word)}
        assert not name or names <= OPTIONS[name], f"{' '.join(words)}: no option is called {names - OPTIONS[name]}"


def test_the_commands_are_found() -> None:
    found = [program(words)[0] for page in PAGES for words in commands(page)]
    assert set(found) >= {"", "train_prepo_ray", "eval_math", "plan", "report"}
    assert len(found) > 60


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" not in page.parts], ids=lambda page: page.name)
def test_links_of_pages_outside_the_site(page: Path) -> None:
    """Those inside are checked when it is built."""
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and "reference" not in file.parts:  # whose tables are made when the site is built
            titles = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.M)
            assert anchor in {slugify(case="lower")(re.sub(r"[`*]", "", title), "-") for title in titles}, target


@pytest.mark.parametrize(("code", "responses", "rewards"), [
    (REWARDS[0], ["It is 4", "It is 5", "none"], [1.0, 0.1, 0.0]),
    (REWARDS[2], ["so \\boxed{4}", "\\boxed{5}", "none"], [pytest.approx(1, abs=0.01), 0.0, 0.0]),
])  # fmt: skip
def test_rewards_of_the_guide(code: str, responses: list[str], rewards: list[float], tmp_path: Path) -> None:
    file = tmp_path / "my_reward.py"
    file.write_text(code)
    prompt = "What is 2 + 2? "
    rollouts = Rollouts(prompt, "4", responses, [prompt + response for response in responses])
    answers = asyncio.run(make_reward(str(file))(rollouts))
    assert [answer["reward"] for answer in answers] == rewards
    assert [answer["scores"] for answer in answers] == [1.0, 0.0, 0.0]


def test_a_reward_is_tried_as_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(REWARDS[0] + REWARDS[1], "docs/guides/my_reward.md", "exec"), {})
    assert capsys.readouterr().out == "{'rewards': [1.0], 'scores': [1.0], 'extra_logs': {'number_ratio': [1.0]}}\n"
