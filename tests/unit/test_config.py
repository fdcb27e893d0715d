"""The options: OpenRLHF's names and defaults, YAML, and what is refused before anything starts."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openrlhf_tables import openrlhf_options
from tiny_tasks import ROOT, gpu_config, gpu_job

from prepo_rlhf.config import (
    Config,
    ConfigError,
    GivenConfig,
    from_dict,
    from_yaml,
    parse_args,
    to_yaml,
)
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.refused import refusal
from prepo_rlhf.config.training import PrepoOptions

REQUIRED = "--actor.model_name_or_path m --data.prompt_dataset d.jsonl --reward.remote_url r.py".split()

OPENRLHF_COMMAND = """
--ref.num_nodes 1 --ref.num_gpus_per_node 8 --actor.num_nodes 1 --actor.num_gpus_per_node 8 --vllm.num_engines 4
--vllm.tensor_parallel_size 2 --train.colocate_all --vllm.gpu_memory_utilization 0.6 --vllm.enable_sleep
--ds.enable_sleep --algo.kl.init_coef 1e-3 --algo.kl.use_loss --algo.kl.estimator k3 --algo.advantage.gamma 1.0
--algo.advantage.estimator reinforce_baseline --actor.model_name_or_path Qwen/Qwen2.5-1.5B --actor.adam.lr 5e-7
--actor.adam.betas 0.9 0.98 --actor.eps_clip_low_high 0.2 0.3 --actor.muon.no_nesterov
--actor.gradient_checkpointing_enable --ds.packing_samples --ds.zero_stage 3 --ds.lora.target_modules q_proj v_proj
--reward.remote_url ./reward_func.py --reward.clip_range -1 1 --data.prompt_dataset a.jsonl,b.jsonl
--data.input_key input --data.label_key answer --data.apply_chat_template --data.max_len 4096
--rollout.max_new_tokens 3072 --rollout.batch_size 128 --rollout.micro_batch_size 4 --train.batch_size 1024
--rollout.n_samples_per_prompt=8 --algo.dynamic_filtering_enable --algo.dynamic_filtering_range 0 1
--algo.advantage.is_correction_level token --algo.advantage.is_correction_threshold 2 --ckpt.max_mem 100
--vllm.sync_backend nccl --logger.wandb.key secret
"""

# Options with fewer values than OpenRLHF's, and one that both take.
NARROWER = {"algo.advantage.estimator": "rloo", "vllm.sync_backend": "nccl"}

# The only defaults that are not OpenRLHF's.
INTENDED = {
    "actor.eps_clip": None,
    "actor.eps_clip_low_high": (0.2, 0.28),
    "algo.advantage.estimator": "group_norm",
    "algo.kl.init_coef": 0.0,
    "ckpt.path": "./ckpt/checkpoints_prepo",
    "ds.attn_implementation": None,
    "logger.wandb.project": "prepo_rlhf",
    "rollout.n_samples_per_prompt": 8,
    "vllm.enable_prefix_caching": True,
    "vllm.sync_backend": None,
}


def flatten(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parse(*flags: str) -> Config:
    return gpu_job([*REQUIRED, *flags])


def sample(keywords: dict[str, Any]) -> list[str]:
    """A value that OpenRLHF's parser would take."""
    if keywords.get("action", "").startswith("store"):
        return []
    value = "7" if keywords.get("type", str) is not str else "text"
    if "choices" in keywords:
        value = keywords["choices"][-1]
    return [value] * (keywords["nargs"] if isinstance(keywords.get("nargs"), int) else 1)


@pytest.fixture(scope="module")
def openrlhf() -> dict[str, dict[str, Any]]:
    options = openrlhf_options()
    if not options:
        pytest.skip("openrlhf is not installed")
    assert len(options) > 140
    return options


def test_an_openrlhf_command_line_keeps_its_meaning() -> None:
    config = gpu_job(OPENRLHF_COMMAND.split())
    assert config.train.colocate_all and config.vllm.enable_sleep and config.ds.enable_sleep
    assert config.actor.adam.betas == (0.9, 0.98) and config.actor.adam.lr == 5e-7
    assert config.actor.eps_clip_low_high == (0.2, 0.3)
    assert config.actor.muon.nesterov is False
    assert config.reward.clip_range == (-1.0, 1.0) and config.algo.dynamic_filtering_range == (0.0, 1.0)
    assert config.ds.lora.target_modules == ["q_proj", "v_proj"]
    assert config.data.prompt_dataset == "a.jsonl,b.jsonl" and config.data.apply_chat_template
    assert config.rollout.n_samples_per_prompt == 8 and config.rollout.max_new_tokens == 3072
    assert config.algo.advantage.is_correction_threshold == (0.0, 2.0)
    assert config.ds.packing_samples and config.ds.attn_implementation == "flash_attention_2"
    assert config.vllm.sync_backend == "ipc"
    assert config.ckpt.max_mem == 100.0 and config.logger.wandb.key == "secret"


def test_every_openrlhf_option_is_taken_or_refused_by_name(openrlhf: dict[str, dict[str, Any]]) -> None:
    argv, expected = [], {}
    for name, keywords in openrlhf.items():
        values = [NARROWER[name]] if name in NARROWER else sample(keywords)
        if refusal(name, None):
            with pytest.raises(ConfigError, match=f"--{name}: ."):
                parse_args([f"--{name}", *values])
        elif name != "actor.muon.no_nesterov":
            argv += [f"--{name}", *values]
            expected[name] = keywords.get("type", str)(values[0]) if values else True
    got = dict(flatten(parse_args(argv).to_dict()))
    for name, value in expected.items():
        first = got[name][0] if isinstance(got[name], tuple) else got[name]
        assert (first, type(first)) == (value, type(value)), name
    assert parse_args(["--actor.muon.no_nesterov"]).actor.muon.nesterov is False


def test_defaults_and_choices_are_openrlhfs_but_for_the_intended(openrlhf: dict[str, dict[str, Any]]) -> None:
    ours, different = dict(flatten(GivenConfig().to_dict())), {}
    for name, keywords in openrlhf.items():
        default = keywords.get("default", False)
        default = tuple(default) if isinstance(default, list) else default
        if name in ours and name != "logger.wandb.run_name" and ours[name] != default:
            different[name] = ours[name]
        if name in ours and "choices" in keywords and name not in NARROWER:
            with pytest.raises(SystemExit):
                parse_args([f"--{name}", "no-such-choice"])
    assert different == INTENDED


def test_run_name_holds_the_time_of_the_start() -> None:
    assert GivenConfig().logger.wandb.run_name.startswith("prepo_")


@pytest.mark.parametrize(
    "flags",
    [
        "--critic.model_name_or_path m",
        "--critic.adam.lr 1e-5",
        "--algo.advantage.estimator gae",
        "--algo.advantage.estimator=gae",
        "--algo.advantage.lambd 0.95",
        "--reward.model_name_or_path m",
        "--reward.num_nodes 1",
        "--reward.normalize_enable",
        "--train.colocate-critic-reward",
        "--data.image_key images",
        "--vllm.sync_with_ray",
    ],
)
def test_what_is_not_part_of_the_framework_is_refused_with_a_remedy(flags: str) -> None:
    name = flags.split()[0].split("=")[0].replace("colocate-critic-reward", "colocate_critic_reward")
    with pytest.raises(ConfigError, match=rf"{name}\b.*: .{{20,}}"):
        parse(*flags.split())


def test_all_refused_flags_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match="(?s)--data.image_key.*--vllm.sync_with_ray"):
        parse("--data.image_key", "x", "--vllm.sync_with_ray")


@pytest.mark.parametrize("flags", ["--prepo.pacing best", "--train.seed one"])
def test_a_bad_value_names_its_flag(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(*flags.split())
    assert stopped.value.code == 2
    assert flags.split()[0] in "".join(capsys.readouterr())


def shown_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        parse_args(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120])
def test_help_leads_with_prepos_own_options_and_has_those_that_matter(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = shown_by(capsys, "--train.seed", "3", "--help")
    listed = re.findall(r"^  --([\w.]+)", text, flags=re.M)
    own = [f"prepo.{field.name}" for field in fields(PrepoOptions)]
    assert listed[: len(own)] == own and len(listed) == len(set(listed)) == len(own) + 20
    table = re.findall(r"^\| `--([a-z]\w*\.\w+)` \|", (ROOT / "README.md").read_text(), flags=re.M)
    assert table and set(table) <= set(listed)
    assert max(map(len, text.splitlines())) <= columns and "--config FILE" in text and "--help-all" in text
    assert "  --prepo.pacing {linear,sqrt,quadratic,feedback}\n" in text and "  --train.colocate_all\n" in text
    assert "--prepo.weight_clip FLOAT FLOAT\n" in text and "--rollout.stop STR [STR ...]\n" in text
    assert "(default: 2048)" in text


@pytest.mark.parametrize("flag", ["--help-all", "--help_all"])
def test_the_other_help_lists_every_option(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown_by(capsys, flag)
    assert all(f"--{name}" in text for name in [*option_types(GivenConfig), "config", "print_config"])


def test_no_option_at_all_is_told_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="--actor.model_name_or_path is missing"):
        gpu_job([])


def test_yaml_round_trip_keeps_every_value_but_the_key() -> None:
    config = parse_args([*OPENRLHF_COMMAND.split(), "--prepo.weight_clip", "0", "2", "--data.input_template", "Ä {}\n"])
    back = from_dict(yaml.safe_load(to_yaml(config)))
    assert back.logger.wandb.key is None and "secret" not in to_yaml(config)
    assert from_dict(yaml.safe_load(to_yaml(config, secrets=True))) == config
    assert back.replaced({"logger.wandb.key": "secret"}) == config
    assert gpu_config(from_dict(yaml.safe_load(to_yaml(gpu_config(config), secrets=True)))) == gpu_config(config)


@given(
    lr=st.floats(0, 1, allow_nan=False),
    clip=st.none() | st.tuples(st.floats(0, 9), st.floats(0, 9)),
    template=st.none() | st.text(),
    modules=st.just("all-linear") | st.lists(st.text()),
)
def test_yaml_round_trip_of_any_value(lr: float, clip: tuple | None, template: str | None, modules: str | list) -> None:
    values = {"actor.adam.lr": lr, "prepo.weight_clip": clip, "data.input_template": template}
    config = GivenConfig().replaced(values | {"ds.lora.target_modules": modules})
    assert from_dict(yaml.safe_load(to_yaml(config))) == config


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("actor: {adam: {lr: 1e-4, eps: 1.0e-6}}\ntrain: {async_enable: true}\nbackend: cpu\n")
    config = parse("--config", str(file), "--actor.adam.lr", "2e-4", "--train.no_async_enable")
    assert (config.actor.adam.lr, config.actor.adam.eps, config.actor.adam.weight_decay) == (2e-4, 1e-6, 0.0)
    assert config.train.async_enable is False and config.backend == "cpu"
    assert parse(f"--config={file}").actor.adam.lr == 1e-4


def test_printed_options_load_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--rollout.batch_size", "64", "--train.batch_size", "64", "--logger.run_dir", "r"]
    with pytest.raises(SystemExit) as stopped:
        parse(*flags, "--print_config")
    assert stopped.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    printed = from_yaml(file)
    assert printed.prepo.candidate_batch_size == 320
    # What depends on the machine is left to the one that the file will be used on.
    assert (printed.backend, printed.ds.attn_implementation, printed.ckpt.path[0]) == ("auto", None, ".")
    expected = parse(*flags).replaced({"logger.wandb.run_name": printed.logger.wandb.run_name})
    assert gpu_job(["--config", str(file)]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("actor: {adam: {lrr: 1}}", "--actor.adam.lrr: unknown"),
        ("prpo: {selector: prepo}", "--prpo: unknown"),
        ("prepo: {selector: best}", "--prepo.selector: "),
        ("train: {seed: [1]}", "--train.seed: "),
        ("train: {batch_size: 0}", "--train.batch_size 0: must be at least 1"),
        ("rollout: {top_p: 1.5}", "--rollout.top_p 1.5: must not be above 1"),
        ("rollout: {temperature: .nan, max_new_tokens: 0}", "--rollout.max_new_tokens 0: must be at least 1"),
        ("critic: {num_nodes: 1}", "--critic.num_nodes: there is no critic"),
        ("algo: {advantage: {estimator: gae}}", "--algo.advantage.estimator gae: "),
        ("- actor", "nested keys"),
        ("{", "can't be read"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_option(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        parse("--config", str(file))
    assert message in str(refused.value) and str(file) in str(refused.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="--config /no/such.yaml"):
        parse("--config", "/no/such.yaml")


def test_config_is_frozen_wherever_it_goes() -> None:
    config = parse("--actor.adam.lr", "3e-6")
    for twin in (config, pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):
        assert twin == config
        for owner, name in ((twin, "backend"), (twin.train, "seed"), (twin.prepo, "selector"), (twin.actor.adam, "lr")):
            with pytest.raises(FrozenInstanceError, match=name):
                setattr(owner, name, 1)
    assert vars(config.actor.muon) == {"lr": 0.02, "momentum": 0.95, "ns_steps": 5, "nesterov": True}


def test_a_changed_copy() -> None:
    config = parse("--actor.adam.lr", "3e-6")
    changed = config.replaced({"train.seed": 3, "actor.adam.eps": 1.0, "actor.adam.lr": 2.0, "backend": "cpu"})
    assert (changed.train.seed, changed.actor.adam.eps, changed.actor.adam.lr, changed.backend) == (3, 1.0, 2.0, "cpu")
    assert type(changed) is Config and config == parse("--actor.adam.lr", "3e-6")
    with pytest.raises((AttributeError, TypeError), match="sed"):
        config.replaced({"train.sed": 3})


def test_every_option_has_a_help_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # flag and help on separate lines
    lines = [line.strip("│ ") for line in shown_by(capsys, "--help-all").splitlines()]
    bare = [line for line, following in zip(lines, lines[1:], strict=False) if following.startswith("(default")]
    assert [line for line in bare if line.startswith("--")] == []


def test_import_is_light() -> None:
    heavy = ("torch", "ray", "vllm", "deepspeed", "openrlhf", "transformers", "numpy")
    code = f"import prepo_rlhf.config, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
