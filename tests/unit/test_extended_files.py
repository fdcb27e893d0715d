"""A file of options that extends another: whose value counts, and which file an error names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_tasks import gpu_job

from prepo_rlhf.config import ConfigError, from_yaml
from prepo_rlhf.config.base import flatten

PARENT = """
actor: {model_name_or_path: m, adam: {lr: 1.0e-5, eps: 1.0e-7}, eps_clip_low_high: [0.1, 0.3]}
data: {prompt_dataset: d, chat_template_kwargs: {enable_thinking: false, tools: none}}
reward: {remote_url: math}
train: {colocate_all: true}
"""


def write(folder: Path, **files: str) -> str:
    """The path of child.yaml."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder / "child.yaml")


def test_what_a_file_states_wins_option_by_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other file is looked for beside the one that names it, wherever the process is."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    own = (
        "extends: parent.yaml\nactor: {adam: {lr: 3.0e-5}}\ntrain: {colocate_all: false}\n"
        "data: {label_key: answer, chat_template_kwargs: {tools: all}}\n"
    )
    path = write(tmp_path / "recipes", parent=PARENT, child=own)
    ours, theirs = from_yaml(os.path.relpath(path)), from_yaml(tmp_path / "recipes" / "parent.yaml")
    options, inherited = (dict(flatten(config.to_dict())) for config in (ours, theirs))
    assert {name: value for name, value in options.items() if value != inherited[name] and "run_name" not in name} == {
        "actor.adam.lr": 3e-5,
        "data.label_key": "answer",
        "data.chat_template_kwargs": '{"tools": "all"}',  # one option, whose value is a mapping
        "train.colocate_all": False,
    }
    assert (theirs.actor.adam.eps, theirs.actor.eps_clip_low_high) == (1e-7, (0.1, 0.3))


def test_the_command_line_wins_over_both(tmp_path: Path) -> None:
    path = write(tmp_path, parent=PARENT, child="extends: parent.yaml\ndata: {label_key: a, input_template: chat}")
    config = gpu_job(["--config", path, "--data.label_key", "b", "--train.no_colocate_all", "--actor.adam.lr", "1e-4"])
    assert (config.data.label_key, config.train.colocate_all, config.actor.adam.lr) == ("b", False, 1e-4)
    assert (config.data.prompt_dataset, config.data.input_template) == ("d", "chat")


@pytest.mark.parametrize(
    ("child", "parent", "message"),
    [
        ("extends: parent.yaml\nactor: {lrr: 1}", PARENT, "--config {child}:\n--actor.lrr: unknown option"),
        ("extends: parent.yaml", "actor: {lrr: 1}", "{parent}, which --config {child} extends:\n--actor.lrr: unknown"),
        ("extends: parent.yaml", "train: {seed: -1}", "{parent}, which --config {child} extends:\n--train.seed -1: "),
        ("extends: parent.yaml", "- actor", "{parent}, which --config {child} extends: holds no options"),
        ("extends: parent.yaml", "{", "{parent}, which --config {child} extends: can't be read as YAML"),
        ("extends: parent.yaml", "extends: a.yaml", "{parent}, which --config {child} extends: extends a.yaml in turn"),
        ("extends: child.yaml", "", "{child}, which --config {child} extends: extends child.yaml in turn"),
        ("extends: none.yaml", "", "none.yaml, which --config {child} extends: can't be read as YAML"),
        ("extends: [parent.yaml]", "", "--config {child}: extends takes the path of one YAML file"),
        ("extends:", "", "--config {child}: extends takes the path of one YAML file"),
        ("extend: parent.yaml", "", "--config {child}:\n--extend: unknown option"),
    ],
)
def test_an_error_names_the_file_at_fault(child: str, parent: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, child=child, parent=parent)
    with pytest.raises(ConfigError) as refused:
        from_yaml(path)
    assert message.format(child=path, parent=tmp_path / "parent.yaml") in str(refused.value)
