"""What a folder imports from outside, wherever in its files: the paper torch alone, options their own libraries."""

from __future__ import annotations

import sys
from functools import cache

import grimp
import pytest

ALLOWED = {
    "algorithm": {"torch"},
    "output_head": {"torch", "triton"},
    "config": {"tyro", "pydantic", "annotated_types", "typing_extensions", "yaml"},
    "analysis": {"numpy", "pandas", "scipy", "matplotlib", "yaml", "jinja2"},
    "selection": {"torch"},
}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("prepo_rlhf", include_external_packages=True)


def imported_from_outside(module: str, with_children: bool = True) -> set[str]:
    modules = {module} | (graph().find_descendants(module) if with_children else set())
    imported = {name.split(".")[0] for one in modules for name in graph().find_modules_directly_imported_by(one)}
    return imported - {"prepo_rlhf"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_nothing_but(folder: str) -> None:
    assert imported_from_outside(f"prepo_rlhf.{folder}") <= ALLOWED[folder]


def test_the_package_itself_imports_nothing() -> None:
    assert imported_from_outside("prepo_rlhf", with_children=False) == set()


def test_the_check_would_find_more() -> None:
    assert "ray" in imported_from_outside("prepo_rlhf.ray") and "torch" in imported_from_outside("prepo_rlhf.algorithm")
