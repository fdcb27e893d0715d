"""The internals of dependencies that the code uses are what they were, and all are listed; this starts nothing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from tiny_tasks import ROOT

from prepo_rlhf.backends import internals
from prepo_rlhf.backends.internals import TESTED, Internal

INTERNALS = internals.listed()
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts[1:]): path for path in ROOT.glob("prepo_rlhf/**/*.py")}
# In a process of its own: in this one, other tests may have patched what is looked at.
CHECK_ALL = """
import json
from prepo_rlhf.backends import flash_attention, internals
flash_attention.import_openrlhf_without()
print(json.dumps({entry.where: internals.problem(entry) for entry in internals.listed()}))
"""
INDIRECT = {"aggregate_loss", "finalize_layerwise_processing"}  # called by what is called here
PROMISED = {
    *dir(type),
    *dir(lambda: None),
    *dir(ast),
    *dir(Path.cwd),
    "__future__",
    "__cause__",
    "__traceback__",
    "_asdict",
    "_exit",
}  # by Python's documentation


@pytest.fixture(scope="module")
def problems() -> dict[str, str | None]:
    done = subprocess.run([sys.executable, "-c", CHECK_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.where)
def test_it_is_what_it_was(internal: Internal, problems: dict[str, str | None]) -> None:
    what = problems[internal.where]
    written_for = f"{internal.package} {TESTED[internal.package]}"
    assert what is None, f"{internal.where} {what}; {internal.used_in} (for {written_for}): {internal.why}"


def test_each_is_listed_once_and_used_where_it_says() -> None:
    assert len({internal.where for internal in INTERNALS}) == len(INTERNALS)
    for internal in INTERNALS:
        path = internal.where.partition(":")[2].removesuffix(".__init__")
        named = words(path.rpartition(".")[2], internal.has, *internal.says)
        for module in internal.used_in.split():
            assert path in INDIRECT or named & words(MODULES[module].read_text()), (internal.where, module)


def private_names(source: str) -> Iterator[str]:
    """Names with an underscore that are looked up on something else than self or cls, or imported."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [name for alias in node.names for name in alias.name.split(".")]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        yield from (name for name in names if name.startswith("_") and name not in PROMISED)


def words(*texts: str) -> set[str]:
    return set(re.findall(r"\w+", " ".join(texts)))


def test_all_foreign_private_names_are_listed() -> None:
    unlisted = {}
    for module, path in MODULES.items():
        own = [entry for entry in INTERNALS if module in entry.used_in.split()]
        listed = words(*(text for entry in own for text in (entry.where, entry.has, *entry.says)))
        unlisted[module] = set(private_names(path.read_text())) - listed
    assert {module: names for module, names in unlisted.items() if names} == {}


def test_the_scan_sees_every_way_to_a_private_name() -> None:
    source = (
        "from foreign._a import thing\nfrom foreign import _b\nimport foreign._c\nself._own = cls._own = 0\n"
        "thing._d = self.thing._e\ngetattr(thing, '_f')\nthing.__class__.__name__\nfrom __future__ import annotations\n"
    )
    assert sorted(set(private_names(source))) == ["_a", "_b", "_c", "_d", "_e", "_f"]


class Doctored:
    """A dependency's class in another version."""

    declared: int
    table = {"known": True}

    def __init__(self, size: int) -> None:
        self._kept, self.size = [], size

    def method(self, first: int, *, second: int = 0) -> int:
        return first + second


@pytest.mark.parametrize(
    ("where", "must", "what"),
    [
        ("Doctored.method", {"takes": "self first second"}, None),
        ("Doctored.method", {"takes": "self first ..."}, None),
        ("Doctored.method", {"takes": "self first"}, r"takes \(self, first, second\), not \(self, first\)"),
        ("Doctored.method", {"takes": "self second ..."}, r"takes \(self, first\), not \(self, second\)"),
        ("Doctored.method", {"says": ("first + second",)}, None),
        ("Doctored.method", {"says": ("return", "first - second")}, "no longer says 'first - second'"),
        ("Doctored", {"has": "_kept size declared method"}, None),
        ("Doctored", {"has": "_kept second"}, "has no second"),
        ("Doctored.table", {"has": "known"}, None),
        ("Doctored.table", {"has": "unknown"}, "has no unknown"),
        ("Doctored.lost", {}, r"is gone \(.+'lost'\)"),
    ],
)
def test_the_checker(where: str, must: dict[str, str], what: str | None) -> None:
    found = internals.problem(Internal(f"{__name__}:{where}", "backends", "a test", **must))
    assert found is None if what is None else re.fullmatch(what, found)


def test_a_module_that_is_gone() -> None:
    assert internals.problem(Internal("prepo_rlhf.lost:thing", "backends", "a test")).startswith("is gone (No module")


def test_what_has_changed_is_not_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "multiprocessing.forkserver:_forkserver"
    assert internals.require(where) is forkserver._forkserver
    monkeypatch.setattr(forkserver, "_forkserver", object())
    with pytest.raises(RuntimeError, match=f"^{where} has no _forkserver_alive_fd: review prepo_rlhf.rewards.worker"):
        internals.require(where)


def test_the_list_costs_no_import() -> None:
    code = (
        "import sys\nfrom prepo_rlhf.backends import internals\ninternals.other_versions()\n"
        f"print([name for name in {sorted(set(TESTED) - {'python'})} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(ROOT))
    assert done.stdout == "[]\n"
