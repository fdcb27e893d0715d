"""What the documentation's pages get when the site is built: tables made from the code, and links out of docs/.

A page asks for a table by a line `<!-- table: NAME -->`, so its own text, and links to it, work in the repository too.
Boundary: mkdocs' events; what is in a table is for `option_pages` and `openrlhf_tables`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from openrlhf_tables import added_options, changed_names, older_names, other_defaults, refused_options, same_options
from option_pages import options_of
from outside_links import OutsideLinks

from prepo_rlhf.config import GivenConfig
from prepo_rlhf.evaluation.options import BenchmarkOptions

TABLES: dict[str, Callable[[], str]] = {
    "training options": lambda: options_of(GivenConfig, first="prepo"),
    "evaluation options": lambda: options_of(BenchmarkOptions),
    "openrlhf: other defaults": other_defaults,
    "openrlhf: refused": refused_options,
    "openrlhf: the same": same_options,
    "openrlhf: added": added_options,
    "openrlhf: older names": older_names,
    "openrlhf: changed names": changed_names,
}
_links = OutsideLinks()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the treatment of links to the Markdown extensions."""
    _links.repository, _links.url = Path(config.config_file_path).parent, config.repo_url
    config.markdown_extensions.append(_links)  # type: ignore[arg-type]  # mkdocs passes it on to Markdown, which takes both
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts tables where a page asks for them."""
    _links.page, _links.in_site = page.file, {file.src_uri for file in files if file.inclusion.is_included()}
    return re.sub(r"^<!-- table: (.+) -->$", lambda line: _table(line[1], page), markdown, flags=re.M)


def on_post_build(config: MkDocsConfig) -> None:
    """The script that pages read from the disk ask for. They have no search, which needs a server."""
    folder = Path(config.site_dir, "search")
    index = (folder / "search_index.json").read_text(encoding="utf-8")
    (folder / "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")


def _table(name: str, page: Page) -> str:
    if name not in TABLES:
        raise PluginError(f"{page.file.src_uri} asks for the table {name!r}: there are {', '.join(TABLES)}")
    return TABLES[name]()
