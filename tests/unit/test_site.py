"""The documentation site: built with warnings as errors, nothing left out, its tables as the code has them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from openrlhf_tables import added_options, openrlhf_options, other_defaults, refused_options, same_options
from option_pages import RESUMED
from tiny_tasks import ROOT

from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.resumption import on_resume
from prepo_rlhf.config.root import GivenConfig
from prepo_rlhf.evaluation.options import BenchmarkOptions

OUTSIDE = "[a file](../setup.py) and [`refused.py`](../prepo_rlhf/config/refused.py#L1)"


class Html(HTMLParser):
    """What a page leads to and loads, the anchors that it has, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("link", "script", "img", "iframe") and given.get("rel") != "canonical":
            self.loads += [given[name] for name in ("href", "src") if name in given]

    def handle_data(self, data: str) -> None:
        self.text += data


def build_site(folder: Path, **settings: object) -> dict[str, Html]:
    """The site's pages by their paths, but for the page of errors, whose links are those of any folder."""
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder), **settings))
    return {str(path.relative_to(folder)): Html(path) for path in folder.rglob("*.html") if path.name != "404.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def site(folder: Path) -> dict[str, Html]:
    return build_site(folder)


def test_every_page_is_there_and_every_link_leads_somewhere(site: dict[str, Html], folder: Path) -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert {re.sub(r"README\.html$", "index.html", page.replace(".md", ".html")) for page in pages} == set(site)
    for name, page in site.items():
        for link in filter(lambda link: not urlsplit(link).scheme, page.links):
            target = (folder / name).parent / unquote(urlsplit(link).path) if urlsplit(link).path else folder / name
            assert target.is_file() or (target / "index.html").is_file(), f"{name}: {link}"
            other, anchor = site.get(str(target.resolve().relative_to(folder))), unquote(urlsplit(link).fragment)
            assert not anchor or other is None or anchor in other.anchors, f"{name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: dict[str, Html], folder: Path) -> None:
    for page in site.values():
        assert [address for address in page.loads if urlsplit(address).netloc] == []
    for style in folder.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize(("page", "kind"), [("options", GivenConfig), ("evaluation_options", BenchmarkOptions)])
def test_every_option_has_its_anchor_values_and_help(site: dict[str, Html], page: str, kind: type) -> None:
    html = site[f"reference/{page}.html"]
    entries = dict(re.findall(r"^--([\w.]+)\n(.*?)(?=^--[\w.]+\n|\Z)", html.text, flags=re.M | re.S))
    for name in option_types(kind):
        assert name in html.anchors
        told, facts = [line for line in entries[name].splitlines() if line.strip()][:2]
        assert re.fullmatch(r"\w.+[.)]", told) or told.startswith("|B|"), name
        assert re.match(r"(\w+(-\w+)*,? ?)+", facts), name
        if kind is GivenConfig:
            assert facts.endswith(f"on resumption: {RESUMED[on_resume()[name]]}"), name


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("prepo.pacing", "linear, sqrt, quadratic, feedback · default linear · on"),
        ("actor.eps_clip_low_high", "2 numbers · default 0.2 0.28 · on"),
        ("rollout.top_p", "number, above 0, at most 1 · default 1.0 · on"),
        ("prepo.candidate_batch_size", "whole number, at least 1 · on"),
        ("ds.packing_samples", "switch · default off · on"),
        ("rollout.stop", "text or texts, one or several · on"),
    ],
)
def test_values_and_defaults_in_words(site: dict[str, Html], name: str, facts: str) -> None:
    text = " ".join(site["reference/options.html"].text.split())
    entry = text[text.index(f" --{name} ") :]
    assert entry[: entry.index(" resumption:")].endswith(facts)


def test_every_option_of_openrlhf_is_in_one_table() -> None:
    theirs = {name for name in openrlhf_options() if ".no_" not in name}
    if not theirs:
        pytest.skip("openrlhf is not installed")
    named = [re.findall(r"`--([\w.]+)`", table()) for table in (same_options, added_options)]
    named += [re.findall(r"^\| \[?`--([\w.]+)`", table(), flags=re.M) for table in (other_defaults, refused_options)]
    same, added, others, refused = map(set, named)
    assert theirs - {"logger.wandb.run_name"} == same | others | refused  # by default that is the time of the start
    assert len(same) + len(others) + len(refused) == len(same | others | refused)
    assert added == set(option_types(GivenConfig)) - theirs
    assert "| `gae` | `group_norm` |" in other_defaults()


def test_public_names_are_there(site: dict[str, Html]) -> None:
    names = {"selection.base.PromptSelector.select", "rewards.math_reward.grade_math", "config.command_line.parse_args"}
    names |= {"algorithm.ppl_window.window_start", "algorithm.entropy_weights.relative_entropy_weights"}
    assert {f"prepo_rlhf.{name}" for name in names} <= site["reference/python.html"].anchors


def docs_of(folder: Path, text: str) -> dict[str, object]:
    """Settings for a site of one page; where it lies, links out of it lead where those of docs/ do."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(text)
    return {"docs_dir": str(folder / "docs"), "nav": [{"Home": "index.md"}], "extra_css": []}


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    links = ["nowhere.md", "index.md#nowhere", "../nowhere.py", "/absolute.md"]
    text = "\n".join(["# Home", *(f"[a link]({link})" for link in links)])
    with pytest.raises(Abort, match=f"{len(links)} warnings in strict mode"):
        build_site(tmp_path / "site", **docs_of(tmp_path, text))


@pytest.mark.parametrize("url", [None, "https://host.example/a/project/"])
def test_a_link_out_of_the_documentation(url: str | None, tmp_path: Path) -> None:
    page = build_site(tmp_path / "site", repo_url=url, **docs_of(tmp_path, f"# Home\n\n{OUTSIDE}\n"))["index.html"]
    files = ["setup.py", "prepo_rlhf/config/refused.py#L1"]
    assert [link for link in page.links if ".py" in link] == [f"{url}blob/HEAD/{file}" for file in files if url]
    assert ("a file (setup.py) and prepo_rlhf/config/refused.py\n" in page.text) == (url is None)
