"""The report in a real browser: figures are seen, nothing is asked for or complained of, and it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, running_browser
from tiny_runs import lifelike_run

from prepo_rlhf.analysis.report import write_report
from prepo_rlhf.analysis.sections.selected_prompts import Subjects

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (or google-chrome) on the path")
WIDTHS = [390, 1280]  # CSS pixels: a phone, a desktop
IMAGES = "[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth, i.clientHeight, i.offsetLeft])"
PAGE_WIDTH = "document.documentElement.scrollWidth"
COLUMNS = "getComputedStyle(document.querySelector('.three')).gridTemplateColumns.split(' ').length"
FREE = (  # CSS pixels between a section's pictures and its right edge
    "[...document.querySelectorAll('.figures')].map(box => box.closest('section').getBoundingClientRect().right"
    " - Math.max(...[...box.children].map(i => i.getBoundingClientRect().right)))"
)
LONG_NAME = "a_name_without_end" * 12
BAD_PAGE = """<img src="http://127.0.0.1:9/missing.png"><div style="width: 2000px">wide</div>
<script>console.error("broken"); undefinedFunction()</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs in four curves, one of them with a name that fits no line, with every section there is."""
    folder = tmp_path_factory.mktemp("report")
    arms = ("prepo", "random", "low-ppl", "high-ppl")
    runs = [str(lifelike_run(folder / f"{arm}_{seed}", seed, selector=arm)) for arm in arms for seed in (1, 2)]
    bands = {row: f"band {row % 12}" for row in range(2400)}
    return write_report(runs, str(folder / "out"), [f"{LONG_NAME}=low-ppl_*"], Subjects("band", lambda run: bands))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page(browser: Browser, page: Path, width: int) -> None:
    browser.open(page.as_uri(), width)
    images = browser.evaluate(IMAGES)
    assert len(images) == len(list((page.parent / "figures").glob("*.png"))) == 2 + 3 + 1 + 3 + 3 + 4 + 1 + 1 + 4
    for natural_width, natural_height, shown_width, shown_height, left in images:
        assert natural_width > 500 and natural_height > 200
        assert shown_width > 300 and left + shown_width <= width
        assert shown_height / shown_width == pytest.approx(natural_height / natural_width, rel=0.02)
    assert browser.evaluate(PAGE_WIDTH) <= width
    assert browser.evaluate(COLUMNS) == {390: 1, 1280: 3}[width]
    assert browser.evaluate(FREE) == pytest.approx([0] * 8, abs=1)
    assert browser.complaints == []
    asked_for = [request for request in browser.requests if not request.startswith("data:")]
    assert asked_for == [page.as_uri()]


def test_wide_tables_scroll_in_their_own_box(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), 390)
    widths = browser.evaluate(
        "[...document.querySelectorAll('.scroll')].map(box => [box.clientWidth, box.scrollWidth])"
    )
    assert len(widths) == 2 and all(shown < 390 < whole for shown, whole in widths)
    assert max(browser.evaluate("[...document.querySelectorAll('td:first-child')].map(cell => cell.clientWidth)")) < 200


def test_links_lead_to_sections(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), 390)
    tops = browser.evaluate(
        "[...document.querySelectorAll('nav a')].map("
        "link => { link.click(); return document.querySelector(link.hash).getBoundingClientRect().top })"
    )
    assert len(tops) == 9 and all(-1 <= top < 900 for top in tops)


def test_the_browser_sees_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    """So that the tests above can fail."""
    (tmp_path / "bad.html").write_text(BAD_PAGE)
    browser.open((tmp_path / "bad.html").as_uri(), 390)
    assert "http://127.0.0.1:9/missing.png" in browser.requests
    assert browser.evaluate(IMAGES)[0][0] == 0 and browser.evaluate(PAGE_WIDTH) > 390
    for complaint in ("broken", "Uncaught", "Failed to load resource"):
        assert any(complaint in text for text in browser.complaints), complaint
