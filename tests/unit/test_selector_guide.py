"""The guide to selectors: its example runs as it stands, and its tables name what there is."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from tiny_candidates import make_prompt
from tiny_streams import selector_named

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection import SELECTORS, PromptOutcome, PromptSelector, PromptStream

GUIDE = (Path(__file__).parents[2] / "docs" / "selectors.md").read_text()
DATASET = [make_prompt(i) for i in range(12)]


@pytest.fixture
def example(tmp_path: Path) -> str:
    """The guide's selector in a file, as `--prepo.selector` takes it, in the way the guide says."""
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL).group(1)
    file, cls = re.search(r"--prepo\.selector [\w/]*?(\w+\.py):(\w+)`", GUIDE).groups()
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / file).write_text(code)
    return f"{tmp_path / file}:{cls}"


def stream_of(selector: PromptSelector, seed: int = 3) -> PromptStream:
    """2 passes over 12 prompts, 6 candidates and K = 3; later rows are of higher perplexity."""
    return PromptStream(DATASET, selector, 6, 3, 2, seed, score=lambda some: [1.0 + c.row for c in some])


def test_the_example_selects_learns_and_resumes(example: str) -> None:
    stream = stream_of(selector_named(example))
    windows = [stream.draw(), stream.draw()]
    new = [candidate.row for window in windows for candidate in window.selected]
    assert all([c.row for c in window.selected] == sorted(c.row for c in window.selected) for window in windows)
    stream.selector.observe([PromptOutcome(index, (1.0, 1.0)) for index in new])
    file = io.BytesIO()
    torch.save(stream.state_dict(), file)
    file.seek(0)
    resumed = stream_of(selector_named(example))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        window = stream.draw()
        solved = [candidate.row in new for candidate in window.selected]
        assert solved == sorted(solved)  # what is solved comes last
        assert window.metrics["prepo/prompts_seen"] == 6
        assert resumed.draw().selected == window.selected
    assert stream.draw() is None


@pytest.mark.parametrize(
    ("option", "section"), [("selector", "## Selectors"), ("pacing", "**Pacing**"), ("weight_balance", "## Weights")]
)
def test_the_tables_name_every_choice(option: str, section: str) -> None:
    choices = SELECTORS if option == "selector" else get_args(get_type_hints(PrepoOptions)[option])
    table = GUIDE.split(section)[1].split("\n\n**")[0].split("\n## ")[0]
    named = set(re.findall(r"`([\w-]+)`", "".join(line for line in table.splitlines() if line.startswith("|"))))
    assert set(choices) <= named
