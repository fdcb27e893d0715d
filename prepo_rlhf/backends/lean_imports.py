"""Imports OpenRLHF, transformers and vLLM without what they import and a job never uses.

Each process of a job (driver, policy, engine, vLLM's core) imports them, and each but the driver again after a restart:
most of the processor's time of a cold start. Written for transformers 5.15, vllm 0.29, torch 2.13 and python 3.11.
A stand-in is there while one module is imported, and gone afterwards: whoever else asks for the real module gets it.
Boundary: what is imported when; nothing here changes what a function computes.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def collector_at_rest() -> Generator[None]:
    """No garbage collection in the block, and at the end of the first, none ever again of what was made until then.

    Imports make a million objects that stay, and each full collection would look at them all.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # later there may be garbage among what would be frozen: a broken job's actors
            gc.freeze()
        gc.enable()


def import_transformers() -> None:
    """Import the part of transformers that every process needs; later calls do nothing."""
    # Matches boxes in losses of object detection.
    match = {"linear_sum_assignment": _on_demand("scipy.optimize", "linear_sum_assignment")}
    with _distributions_by_name(), _stand_ins({"scipy.optimize": match}):
        import_module("transformers.loss.loss_utils")


def import_vllm() -> None:
    """Import the part of vLLM that every process needs; later calls do nothing."""
    with _without_compiler("torch._inductor.lowering"):  # of which a list is wrapped
        import_module("vllm.env_override")
    tools = {"vllm.entrypoints.mcp.tool_server": {"ToolServer": object}}  # an API server's, in one signature
    audio = {"scipy.signal": {"resample_poly": _on_demand("scipy.signal", "resample_poly")}}
    with _stand_ins(tools | audio):
        import_module("vllm.reasoning")
        import_module("vllm.multimodal.audio")


def import_core() -> None:
    """Import what vLLM's core needs beyond that."""
    with _without_compiler("torch._inductor.compile_fx"):  # imported as a whole, used by compilers alone
        import_module("vllm.compilation.compiler_interface")
    import_module("vllm.v1.engine.core")


def _without_compiler(part: str) -> AbstractContextManager[None]:
    """In the block this part of torch.compile is empty, if torch.compile is off."""
    return _stand_ins({part: {}} if os.environ.get("TORCHDYNAMO_DISABLE") == "1" else {})


@contextmanager
def _stand_ins(contents: Mapping[str, Mapping[str, Any]]) -> Generator[None]:
    """In the block these modules have these contents, and no others, if they have not been imported yet."""
    absent = contents.keys() - sys.modules.keys()
    for name in absent:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(contents[name])
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _on_demand(module: str, function: str) -> Callable[..., Any]:
    """The function, whose module is imported when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), function)(*args, **kwargs)

    return call


class _Distributions(Mapping[str, list[str]]):
    """As `packages_distributions` gives them; the files of all are only listed for a package of another name."""

    def __getitem__(self, package: str) -> list[str]:
        try:
            return [importlib.metadata.distribution(package).name]
        except importlib.metadata.PackageNotFoundError:
            return self._all[package]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> Mapping[str, list[str]]:
        return importlib.metadata.packages_distributions()


@contextmanager
def _distributions_by_name() -> Generator[None]:
    """transformers reads the metadata of all that is installed, to find the versions of three packages."""
    original = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = _Distributions
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = original
