"""What `resolve` derives from the options given: values that follow from others, and from the machine."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from tiny_tasks import gpu_config, gpu_job

from prepo_rlhf.config import Config, ConfigError, Machine, parse_args, resolve
from prepo_rlhf.config.base import flatten

REQUIRED = "--actor.model_name_or_path m --data.prompt_dataset d.jsonl --reward.remote_url r.py".split()


def parse(*flags: str) -> Config:
    return gpu_job([*REQUIRED, *flags])


def test_derived_values() -> None:
    config = parse("--rollout.batch_size", "256", "--logger.run_dir", "r")
    assert config.prepo.candidate_batch_size == 5 * 256
    assert config.rollout.vllm_generate_batch_size == 256
    assert config.logger.tensorboard_dir == "r/tensorboard"
    assert config.actor.eps_clip_low_high == (0.2, 0.28)
    assert parse("--actor.eps_clip", "0.2").actor.eps_clip_low_high == (0.2, 0.2)
    assert parse("--ds.lora.target_modules", "q_proj").ds.lora.target_modules == ["q_proj"]
    assert gpu_job([*REQUIRED[:4], "--train.agent_func_path", "a.py"]).reward.remote_url == "agent"
    with pytest.raises(ConfigError, match="--actor.eps_clip 0.1 and --actor.eps_clip_low_high"):
        parse("--actor.eps_clip", "0.1", "--actor.eps_clip_low_high", "0.2", "0.3")


@pytest.mark.parametrize(
    ("flags", "engines"),
    [
        ("--actor.num_nodes 2 --train.colocate_all", 16),
        ("--actor.num_nodes 2 --train.colocate_all --vllm.tensor_parallel_size 4", 4),
        ("--actor.num_nodes 2 --vllm.tensor_parallel_size 4", 1),
        ("--train.colocate_all --vllm.num_engines 8", 8),
        pytest.param(
            "--train.colocate_all --train.async_enable", 1, marks=pytest.mark.filterwarnings("ignore::UserWarning")
        ),
    ],
)
def test_engines_fill_the_gpus_that_they_share_with_the_policy(flags: str, engines: int) -> None:
    assert parse(*flags.split()).vllm.num_engines == engines


def test_resolving_twice_changes_nothing() -> None:
    config = parse("--actor.eps_clip", "0.1", "--algo.advantage.is_correction_threshold", "3")
    assert gpu_config(config) == config


def test_resolving_leaves_the_given_options_alone() -> None:
    given = parse_args([*REQUIRED, "--actor.eps_clip", "0.1", "--ds.lora.target_modules", "q_proj"])
    before = copy.deepcopy(given)
    assert gpu_config(given).ds.lora.target_modules == ["q_proj"] and given == before


@pytest.mark.parametrize(
    ("machine", "flags", "attention"),
    [
        (Machine("cuda", True, "/w"), "", "flash_attention_2"),
        (Machine("cuda", True, "/w"), "--ds.param_dtype fp32", "sdpa"),
        (Machine("cuda", False, "/w"), "--ds.packing_samples", "packed_sdpa"),
        (Machine("cuda", False, "/w"), "--ds.packing_samples --ds.ring_attn_size 2", "flash_attention_2"),
        (Machine("cpu", False, "/w"), "--train.colocate_all --vllm.enable_sleep --ds.enable_sleep", "sdpa"),
    ],
)
def test_what_depends_on_the_machine(machine: Machine, flags: str, attention: str) -> None:
    config = resolve(parse_args([*REQUIRED, *flags.split()]), machine)
    assert (config.backend, config.ds.attn_implementation) == (machine.backend, attention)
    on_cpu = machine.backend == "cpu"
    assert config.vllm.enforce_eager == on_cpu and not config.vllm.enable_sleep and not config.ds.enable_sleep


def test_relative_paths_mean_what_they_mean_to_the_driver(tmp_path: Path) -> None:
    (tmp_path / "r.py").touch()
    config = resolve(parse_args([*REQUIRED, "--ckpt.path", "c/d"]), Machine("cpu", False, str(tmp_path)))
    assert config.reward.remote_url == str(tmp_path / "r.py") and config.actor.model_name_or_path == "m"
    assert (config.ckpt.path, config.ckpt.output_dir) == (str(tmp_path / "c/d"), str(tmp_path / "ckpt"))


@pytest.mark.parametrize(
    ("flags", "option", "value", "warning"),
    [
        ("--ds.ring_attn_size 2", "ds.packing_samples", True, "--ds.ring_attn_size"),
        ("--train.dynamic_batch_enable", "ds.packing_samples", True, "--train.dynamic_batch_enable"),
        ("--train.dynamic_batch_enable", "rollout.max_tokens_per_gpu", 16192, "--train.dynamic_batch_enable"),
        ("--vllm.enable_sleep", "vllm.enable_sleep", False, "--vllm.enable_sleep"),
        (r"--data.input_template {}\n", "data.input_template", r"{}\n", "--data.input_template"),
        ("--train.agent_func_path a.py", "reward.remote_url", "agent", "--reward.remote_url"),
        ("--algo.advantage.gamma 0.9", "algo.advantage.gamma", 1.0, "--algo.advantage.gamma 0.9"),
        ("--algo.kl.use_loss", "algo.kl.use_loss", True, "--algo.kl.init_coef"),
        ("--algo.kl.use_loss --algo.kl.init_coef 1", "algo.kl.estimator", "k1", "take k2 or k3"),
        ("--algo.kl.estimator k3 --algo.kl.init_coef 1", "algo.kl.estimator", "k3", "take k1"),
    ],
)
def test_implied_settings_are_told(flags: str, option: str, value: object, warning: str) -> None:
    with pytest.warns(UserWarning, match=warning):
        config = parse(*flags.split())
    assert dict(flatten(config.to_dict()))[option] == value


def test_packed_samples_have_their_own_sdpa() -> None:
    config = parse("--ds.packing_samples", "--ds.attn_implementation", "sdpa")
    assert config.ds.attn_implementation == "packed_sdpa"
