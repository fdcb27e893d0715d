"""The report as one self-contained HTML page.

Boundary: sections in, HTML out. Jinja escapes all text, here and nowhere else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence

from jinja2 import Environment

from prepo_rlhf.analysis.section import Section

# The content security policy forbids every request: the page stays self-contained.
# tabindex: a region that can be focused can be scrolled by keyboard.
PAGE = """<!DOCTYPE html>
{% macro row(tag, cells, texts) %}
<tr>{% for cell in cells %}{% set lines = cell.split("\n") %}
<{{ tag }}{% if loop.index0 < texts %} class="text"{% endif %}>{{ lines[0] }}
{%- for line in lines[1:] %}<br><small>{{ line }}</small>{% endfor %}</{{ tag }}>{% endfor %}</tr>
{% endmacro %}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<header>
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
<nav>{% for section in sections %}<a href="#{{ anchor(section.title) }}">{{ section.title }}</a> {% endfor %}</nav>
</header>
<main>
{% for section in sections %}
<section id="{{ anchor(section.title) }}"{% if section.pictures | length == 1 %} class="beside"{% endif %}>
<div>
<h2>{{ section.title }}</h2>
<p>{{ section.reading }}</p>
{% if section.absent %}<p class="absent">Left out: {{ section.absent }}</p>{% endif %}
{% if section.data %}<p class="files">Numbers:
{% for name in section.data %}<a href="data/{{ name }}.csv">{{ name }}.csv</a> {% endfor %}</p>{% endif %}
</div>
{% if section.table %}{% set table = section.table %}
<div class="scroll" tabindex="0"><table><thead>{{ row("th", table.header, table.texts) }}</thead>
<tbody>{% for cells in table.rows %}{{ row("td", cells, table.texts) }}{% endfor %}</tbody></table></div>
{% endif %}
{% if section.pictures %}<div class="figures {{ ["one", "two", "three"][columns(section) - 1] }}">
{% for picture in section.pictures %}
<img alt="{{ picture.alt }}" src="data:image/png;base64,{{ b64encode(picture.png).decode() }}">
{% endfor %}</div>{% endif %}
</section>
{% endfor %}
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
h2 { font-size: 1.2rem; margin: 0 0 4px; }
p { margin: 4px 0 12px; max-width: 90ch; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; }
a { color: #0060a0; }
.absent { color: #555; font-style: italic; }
.files { color: #555; font-size: .8rem; }
.figures { display: grid; gap: 16px; align-items: start; }
.figures img { display: block; width: 100%; height: auto; }
section { border-top: 1px solid #ddd; margin-top: 28px; padding-top: 12px; }
section > div { min-width: 0; }
@media (min-width: 700px) { .two, .three { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (min-width: 800px) {
  .beside { display: grid; gap: 0 32px; grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .beside .scroll { order: 1; grid-column: 1 / -1; }
}
@media (min-width: 1000px) { .three { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
.scroll { overflow: auto; max-height: 80vh; margin: 12px 0; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 6px; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top;
  white-space: nowrap; overflow-wrap: normal; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; border-bottom-color: #888;
  white-space: normal; }
.text { text-align: left; }
td.text { white-space: normal; max-width: min(14rem, 45vw); overflow-wrap: break-word; }
td small { color: #555; font-size: .68rem; }
"""


_TEMPLATE = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)


def render(title: str, summary: str, sections: Sequence[Section]) -> str:
    """The page, with a link to each section."""
    tools = {"anchor": _anchor, "b64encode": b64encode, "columns": _columns}
    return _TEMPLATE.render(title=title, summary=summary, style=STYLE, sections=sections, **tools)


def _columns(section: Section) -> int:
    """How many pictures stand side by side, where there is room: no more than there are, and four as two and two."""
    number = len(section.pictures)
    return 2 if number == 4 else min(section.columns, number)


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())
