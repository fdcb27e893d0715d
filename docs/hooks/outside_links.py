"""Links from a page to files that are not in the site, such as `../prepo_rlhf/config/refused.py`.

In the repository they work as they are. In the site they lead to the repository, if its address is known, and are the
file's path otherwise.
Boundary: a Markdown extension; links inside the site, and broken ones, are mkdocs' own business.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import File


class OutsideLinks(Extension):
    """Set before a page is rendered: its file, the pages and files of the site, the repository and its address."""

    page: File
    in_site: set[str]
    repository: Path
    url: str | None

    def extendMarkdown(self, md: Markdown) -> None:
        """Called by Markdown for every page; before mkdocs' own `relpath`, which has priority 0."""
        md.treeprocessors.register(_Processor(md, self), "outside_links", 5)


class _Processor(Treeprocessor):
    def __init__(self, md: Markdown, site: OutsideLinks) -> None:
        super().__init__(md)
        self._site = site

    def run(self, root: Element) -> None:
        for link in list(root.iter("a")):
            if path := self._outside(link.get("href", "")):
                self._replace(link, path)

    def _outside(self, href: str) -> str | None:
        """The path in the repository of what a link leads to; None for what is in the site or elsewhere."""
        parts = urlsplit(href)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return None
        folder = posixpath.dirname(f"docs/{self._site.page.src_uri}")
        path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
        if path.removeprefix("docs/") in self._site.in_site:
            return None
        if path.startswith("../") or not (self._site.repository / path).exists():
            return None  # mkdocs warns of it
        return path

    def _replace(self, link: Element, path: str) -> None:
        if self._site.url:
            anchor = urlsplit(link.get("href", "")).fragment
            link.set("href", f"{self._site.url.rstrip('/')}/blob/HEAD/{path}{f'#{anchor}' if anchor else ''}")
            return
        children, shown = list(link), "".join(link.itertext()).rstrip("/")
        link.tag, link.attrib = "span", {}
        if path.endswith(shown):  # the text is the file's name
            link.text = None
            for child in children:
                link.remove(child)
            SubElement(link, "code").text = path
            return
        if children:
            children[-1].tail = f"{children[-1].tail or ''} ("
        else:
            link.text = f"{link.text or ''} ("
        code = SubElement(link, "code")
        code.text, code.tail = path, ")"
