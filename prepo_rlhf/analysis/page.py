"""The report as one self-contained HTML page.

Boundary: sections in, HTML out. All text is escaped here and nowhere else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from prepo_rlhf.analysis.section import Picture, Section, Table

# The content security policy forbids every request: the page stays self-contained.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{summary}</p>
<nav>{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 0 16px 48px; background: #fff; color: #1c1c1c;
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 24px 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 4px; padding-top: 12px; border-top: 1px solid #ddd; }
p { margin: 4px 0 12px; max-width: 80ch; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; }
a { color: #0060a0; }
.absent { color: #555; font-style: italic; }
.files { color: #555; font-size: .8rem; }
.figures { display: grid; gap: 16px; align-items: start; }
.figures img { display: block; width: 100%; max-width: 520px; height: auto; }
@media (min-width: 700px) { .two, .three { grid-template-columns: repeat(2, minmax(0, 520px)); } }
@media (min-width: 1000px) { .three { grid-template-columns: repeat(3, 1fr); } }
.scroll { overflow: auto; max-height: 80vh; margin: 12px 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top;
  white-space: nowrap; overflow-wrap: normal; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; border-bottom-color: #888;
  white-space: normal; }
.text { text-align: left; }
td:first-child { white-space: normal; max-width: min(16rem, 45vw); overflow-wrap: break-word; }
td small { color: #555; }
"""


def render(title: str, summary: str, sections: Sequence[Section]) -> str:
    """The page, with a link to each section."""
    links = " ".join(f'<a href="#{_anchor(section.title)}">{escape(section.title)}</a>' for section in sections)
    parts = "\n".join(map(_section, sections))
    return PAGE.format(title=escape(title), summary=escape(summary), style=STYLE, links=links, sections=parts)


def _section(section: Section) -> str:
    parts = [f'<section id="{_anchor(section.title)}">', f"<h2>{escape(section.title)}</h2>"]
    parts.append(f"<p>{escape(section.reading)}</p>")
    if section.absent:
        parts.append(f'<p class="absent">Left out: {escape(section.absent)}</p>')
    if section.table:
        parts.append(_table(section.table))
    if section.pictures:
        columns = {1: "one", 2: "two", 3: "three"}[section.columns]
        parts.append(f'<div class="figures {columns}">{"".join(map(_picture, section.pictures))}</div>')
    if section.data:
        names = ", ".join(f"data/{name}.csv" for name in section.data)
        parts.append(f'<p class="files">Numbers: {escape(names)}</p>')
    return "\n".join([*parts, "</section>"])


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _picture(picture: Picture) -> str:
    content = base64.b64encode(picture.png).decode()
    return f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{content}">'


def _table(table: Table) -> str:
    header = "".join(_cell("th", cell, number < table.texts) for number, cell in enumerate(table.header))
    rows = "".join(
        f"<tr>{''.join(_cell('td', cell, number < table.texts) for number, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    # tabindex: a region that can be focused can be scrolled by keyboard.
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(tag: str, content: str, text: bool) -> str:
    first, *others = (escape(line) for line in content.split("\n"))
    lines = first + "".join(f"<br><small>{line}</small>" for line in others)
    return f'<{tag} class="text">{lines}</{tag}>' if text else f"<{tag}>{lines}</{tag}>"
