"""OpenRLHF's options beside this project's, flag by flag: from its installed source, and from what `config` says of it.

Boundary: reads OpenRLHF's source and never imports it; Markdown out.
"""

from __future__ import annotations

import ast
import html
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from prepo_rlhf.config import GivenConfig
from prepo_rlhf.config.base import flatten
from prepo_rlhf.config.older_names import CHANGED, OLDER
from prepo_rlhf.config.refused import refusal

OPTIONS_PAGE = "options.md"
NO_DEFAULT = (None, "")


def openrlhf_options() -> dict[str, dict[str, Any]]:
    """Option -> keyword arguments of its `add_argument`, of the installed OpenRLHF; nothing where there is none."""
    spec = importlib.util.find_spec("openrlhf")
    if spec is None or not spec.submodule_search_locations:
        return {}
    source = (Path(spec.submodule_search_locations[0]) / "cli" / "train_ppo_ray.py").read_text()
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            for prefix in ("actor", "critic"):  # a loop of the source adds options for both
                scope = {"prefix": prefix, "datetime": datetime}
                name = _evaluated(node.args[0], scope).removeprefix("--")
                found[name] = {keyword.arg: _evaluated(keyword.value, scope) for keyword in node.keywords}
    return found


def _evaluated(node: ast.expr, scope: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "train_ppo_ray.py", "eval"), scope)


@cache
def _theirs() -> Mapping[str, Any]:
    """Default by name, but for switches' opposites."""
    options = openrlhf_options()
    if not options:
        raise ModuleNotFoundError("openrlhf, whose options the site compares: install it as CONTRIBUTING.md says")
    return {name: _plain(keywords.get("default", False)) for name, keywords in options.items() if ".no_" not in name}


@cache
def _ours() -> Mapping[str, Any]:
    return {name: _plain(value) for name, value in flatten(GivenConfig().to_dict())}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def other_defaults() -> str:
    """Options of the same name with another default."""
    rows = [
        (_linked(name), _shown(default), _shown(_ours()[name]))
        for name, default in _theirs().items()
        if name in _ours() and _ours()[name] != default and name != "logger.wandb.run_name"
    ]
    return _table(("option", "OpenRLHF's default", "here"), rows)


def refused_options() -> str:
    """Options that are answered with what to do instead."""
    rows = [(f"`--{name}`", _text(told.partition(": ")[2])) for name in _theirs() if (told := refusal(name, None))]
    return _table(("option", "what you are told"), rows)


def same_options() -> str:
    """Options with the same name and default, by group."""
    same = [name for name, default in _theirs().items() if name in _ours() and _ours()[name] == default]
    return "\n".join(f"- {', '.join(map(_linked, names))}" for names in _by_group(same))


def added_options() -> str:
    """Options that OpenRLHF does not have, by group."""
    added = [name for name in _ours() if name not in _theirs()]
    return "\n".join(f"- {', '.join(map(_linked, names))}" for names in _by_group(added))


def older_names() -> str:
    """Names from before 0.11 that are one option today."""
    rows = []
    for older, name in sorted(OLDER.items()):
        told = refusal(name, None)
        rows.append((f"`--{older}`", f"`--{name}`: {_text(told.partition(': ')[2])}" if told else _linked(name)))
    return _table(("before 0.11", "today"), rows)


def changed_names() -> str:
    """Names from before 0.11 that are no longer one option with the same values."""
    rows = [(f"`--{name}`", _text(told)) for name, told in sorted(CHANGED.items())]
    return _table(("before 0.11", "today"), rows)


def _by_group(names: Iterable[str]) -> Iterator[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition(".")[0] if "." in name else "", []).append(name)
    yield from groups.values()


def _linked(name: str) -> str:
    return f"[`--{name}`]({OPTIONS_PAGE}#{name})"


def _shown(value: Any) -> str:
    if value in NO_DEFAULT:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{' '.join(map(str, value)) if isinstance(value, list) else value}`"


def _text(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
