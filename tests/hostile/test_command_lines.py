"""Command lines and YAML files as people type, paste and remember them: understood, or answered by an option's name."""

from __future__ import annotations

import copy
import random
import re
from pathlib import Path
from typing import Any

import pytest
from attempts import attempt
from tiny_tasks import gpu_config

from prepo_rlhf.cli import eval_math, plan
from prepo_rlhf.config import ConfigError, GivenConfig, check, from_dict, parse_args
from prepo_rlhf.config.base import flatten
from prepo_rlhf.config.older_names import CHANGED, OLDER
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.refused import refusal

NAMES = option_types(GivenConfig)
OLD_COMMAND = """
--ref_num_nodes 1 --ref_num_gpus_per_node 8 --actor_num_nodes 1 --actor_num_gpus_per_node 8 --vllm_num_engines 4
--vllm_tensor_parallel_size 2 --colocate_all_models --vllm_gpu_memory_utilization 0.6 --pretrain m --remote_rm_url r.py
--save_path out --ckpt_path ck --save_hf_ckpt --micro_train_batch_size 1 --train_batch_size 128 --zero_stage 3 --bf16
--micro_rollout_batch_size 1 --rollout_batch_size 128 --n_samples_per_prompt 8 --max_epochs 1 --prompt_max_len 1024
--max_samples 100000 --generate_max_len 1024 --advantage_estimator group_norm --actor_learning_rate 5e-7
--critic_learning_rate 9e-6 --init_kl_coef 1e-3 --use_kl_loss --kl_estimator k3 --gamma 1.0 --prompt_data d.jsonl
--input_key question --label_key answer --apply_chat_template --normalize_reward --gradient_checkpointing
--packing_samples --flash_attn --vllm_sync_backend nccl --enforce_eager --vllm_enable_sleep --deepspeed_enable_sleep
--eval_steps 10 --save_steps 20 --logging_steps 1 --load_checkpoint --use_wandb key --critic_pretrain c
--reward_pretrain rm --ring_attn_size 2 --lora_rank 4 --target_modules q_proj v_proj --l2 0.1 --perf --adam_offload
"""

# A command line, and the sentences that answer it.
TOLD = {
    "--batch_size 8": ["--batch_size: unknown option; did you mean", "--train.batch_size", "--rollout.batch_size"],
    "--train.batch_sizes 8": ["--train.batch_sizes: unknown option; did you mean --train.batch_size"],
    "--Train.Batch_Size 8": ["did you mean --train.batch_size?"],
    "--train_num_episodes 2": ["did you mean --train.num_episodes?"],
    "--actor.learning_rate 1e-6": ["did you mean --actor.adam.lr"],
    "--lr 1e-6": ["--actor.adam.lr"],
    "--reward_url r.py": ["did you mean --reward.remote_url?"],
    "--kl_coef 0.1": ["did you mean --algo.kl.init_coef?"],
    "--model m": ["did you mean --actor.model_name_or_path?"],
    "--max_tokens 9": ["--rollout.max_new_tokens"],
    "--actor.lora.rank 4": ["did you mean --ds.lora.rank?"],
    "--selector random": ["did you mean --prepo.selector?"],
    "--vllm.num_engine 2": ["did you mean --vllm.num_engines?"],
    "--train 3": ["--train: is a group of options"],
    "--zzz 3": ["--zzz: unknown option; --help-all lists all of them"],
    "--no-packing_samples": ["--no_packing_samples: is now --ds.no_packing_samples"],
    "--train.no_seed": ["did you mean --train.seed?"],
    "--critic_num_nodes 1": ["--critic_num_nodes: there is no critic here"],
    "--value_clip 0.2": ["--value_clip (now --critic.value_clip): there is no critic here"],
    "--advantage_estimator gae": ["(now --algo.advantage.estimator) gae: GAE needs a critic"],
    "--ds.packing_samples maybe": ["--ds.packing_samples is a switch; give true or false"],
    "--ds.packing_samples=2": ["--ds.packing_samples '2': is a switch"],
    "--train.seed": ["--train.seed: a value is missing"],
    "--train.seed --train.async_enable": ["--train.seed: a value is missing"],
    "--train.seed=": ["--train.seed: a value is missing"],
    "--config": ["--config: a value is missing"],
    "--config=": ["--config: give a YAML file"],
    "--config /no/such.yaml": ["--config /no/such.yaml: can't be read"],
    "--train.seed = 3": ["--train.seed: no blank may stand beside the equals sign"],
    "--train.seed =3": ["--train.seed: no blank may stand beside the equals sign"],
    "--data.label_key= answer": ["--data.label_key: no blank may stand beside the equals sign"],
    "--train.seed 3 4": ["'4': --train.seed takes 1 value"],
    "--actor.adam.betas 0.9": ["--actor.adam.betas: 2 values are needed and 1 given"],
    "--actor.eps_clip_low_high 0.2,0.28": ["--actor.eps_clip_low_high: 2 values are needed and 1 given"],
    "--data.input_template Question: {}": ["'{}': --data.input_template takes 1 value; put a text with"],
    "-train.seed 3": ["-train.seed: an option begins with two plain dashes, --train.seed"],
    "-pretrain m": ["--pretrain: is now --actor.model_name_or_path"],
    "---train.seed 3": ["---train.seed: an option begins with two plain dashes"],
    "–train.seed 3": ["–train.seed: an option begins with two plain dashes, --train.seed"],
    "—train.async_enable": ["—train.async_enable: an option begins with two plain dashes, --train.async_enable"],
    "−−pretrain m": ["--pretrain: is now --actor.model_name_or_path"],
    "--data.label_key –train.seed 3": ["--data.label_key: a value is missing", "–train.seed: an option begins"],
    "train.seed 3": ["train.seed: an option begins with two dashes, --train.seed"],
    "train.seed=3": ["train.seed: an option begins with two dashes"],
    "--train/seed 3": ["'--train/seed' at the beginning: no option is written like this"],
    "--train.seed 3 -- x": ["-- behind --train.seed: nothing may follow two dashes alone"],
    "--train.seed 1.5": ["--train.seed", "1.5"],
    "--train.batch_size 0": ["--train.batch_size 0: must be at least 1"],
    "--train.seed -1": ["--train.seed -1: must be at least 0"],
    "--train.seed 99999999999": ["--train.seed 99999999999: must not be above"],
    "--actor.adam.eps nan": ["--actor.adam.eps nan: must be a number"],
    "--rollout.temperature nan": ["--rollout.temperature nan: must be a number"],
    "--backend gpu": ["--backend", "'cpu'"],
}

# A command line that is understood, and what it means.
UNDERSTOOD = {
    "--ds.packing_samples False": {"ds.packing_samples": False},
    "--ds.packing_samples true": {"ds.packing_samples": True},
    "--ds.packing_samples=YES --ds.zero_stage 3": {"ds.packing_samples": True, "ds.zero_stage": 3},
    "--vllm.enable_prefix_caching 0": {"vllm.enable_prefix_caching": False},
    "--vllm.enable_prefix_caching=off": {"vllm.enable_prefix_caching": False},
    "--no-vllm.enable_prefix_caching": {"vllm.enable_prefix_caching": False},
    "--vllm.no-enable-prefix-caching": {"vllm.enable_prefix_caching": False},
    "--vllm.no_enable_prefix_caching no": {"vllm.enable_prefix_caching": True},
    "--algo.advantage.no_std_norm 1": {"algo.advantage.no_std_norm": True},
    "--train.seed 1 --train.seed 2": {"train.seed": 2},
    "--train.async_enable --no-train.async_enable": {"train.async_enable": False},
    "--data.input_template -{}": {"data.input_template": "-{}"},
    "--reward.clip_range -1 -0.5": {"reward.clip_range": (-1.0, -0.5)},
    "--actor.eps_clip_low_high=0.1 0.2 --print_config false": {"actor.eps_clip_low_high": (0.1, 0.2)},
    "--ds.lora.target_modules q_proj v_proj": {"ds.lora.target_modules": ["q_proj", "v_proj"]},
    "--rollout.max_new_tokens None --data.label_key=": {"rollout.max_new_tokens": None, "data.label_key": ""},
}

# A YAML file, and the sentences that answer it.
FILES = {
    "train:\n\tseed: 3": ["can't be read as YAML", "line 2"],
    "train: {seed: 1, seed: 2}": ["'seed' stands twice", "line 1"],
    "train: {seed: 1}\nrollout: {}\ntrain: {batch_size: 8}": ["'train' stands twice", "line 3"],
    "train: {seed: 1": ["can't be read as YAML"],
    "a: 1\n---\nb: 2": ["can't be read as YAML"],
    "x: !!python/name:os.system ": ["can't be read as YAML"],
    "x: !!bool maybe": ["can't be read as YAML"],
    "logger: {wandb: {run_name: 2024-13-45}}": ["can't be read as YAML", "month"],
    "[" * 1000: ["can't be read as YAML"],
    "\0": ["can't be read as YAML"],
    "- train": ["holds no options"],
    "hello": ["holds no options"],
    "0": ["holds no options"],
    "train: &t {seed: *t}": ["nested more than"],
    "a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}": ["nested more than"],
    "pretrain: m\nbf16: true": ["--pretrain: is now --actor.model_name_or_path", "--bf16: is now --ds.param_dtype"],
    "actor: {pretrain: m}": ["--actor.pretrain: unknown option; did you mean --actor.model_name_or_path?"],
    "train.seed: 3": ["--train.seed: write it as nested keys, train: {seed: ...}"],
    "actor.adam.lr: 3": ["write it as nested keys, actor: {adam: {lr: ...}}"],
    "prpo: {selector: random}": ["--prpo: unknown option; did you mean --prepo?"],
    "actor: {adm: {lr: 1}}": ["--actor.adm: unknown option; did you mean --actor.adam"],
    "train: {batch-size: 8}": ["--train.batch-size: unknown option; did you mean --train.batch_size?"],
    "batch_size: 8": ["--batch_size: unknown option; did you mean"],
    "defaults: &d {seed: 3}\ntrain: *d": ["--defaults: unknown option"],
    "critic: {adam: {lr: 1}}": ["--critic.adam.lr: there is no critic"],
    "train:": ["--train: is a group of options"],
    "train: [1]": ["--train: is a group of options"],
    "actor: {adam: 3}": ["--actor.adam: is a group of options"],
    "on: 3": ["the key True is no text: put it in quotes"],
    "train: {3: 3}": ["--train: the key 3 is no text"],
    "? {a: b}\n: 2": ["can't be read as YAML"],
    "train: {seed: null}": ["--train.seed: "],
    "train: {seed: true}": ["--train.seed true: is not a switch"],
    "train: {seed: 1.5}": ["--train.seed: ", "got 1.5"],
    "train: {seed: 2024-01-01}": ["--train.seed: "],
    "data: {label_key: 3}": ["--data.label_key: ", "put it in quotes"],
    "data: {label_key: no}": ["--data.label_key false: is not a switch"],
    "actor: {adam: {eps: .nan}}": ["--actor.adam.eps nan: must be a number"],
    "actor: {eps_clip_low_high: [0.1]}": ["--actor.eps_clip_low_high: More values are needed"],
    "actor: {eps_clip_low_high: [0.1, .nan]}": ["--actor.eps_clip_low_high nan: must be a number"],
    "actor: {eps_clip_low_high: 0.1 0.2}": ["--actor.eps_clip_low_high: "],
    "ds: {packing_samples: maybe}": ["--ds.packing_samples: "],
    "ds: {lora: {target_modules: [1]}}": ["--ds.lora.target_modules: "],
    "logger: {wandb: {key: [s3cret]}}": ["--logger.wandb.key: ", "which is not shown"],
}


@pytest.mark.parametrize("line", TOLD)
def test_answered(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        check(gpu_config(parse_args(line.split(" "))))
        pytest.fail("was taken")
    except ConfigError as error:
        told = str(error)
    except SystemExit as end:
        told = "".join(capsys.readouterr())
        assert end.code == 2
    assert all(sentence in told for sentence in TOLD[line]), told


@pytest.mark.parametrize("line", UNDERSTOOD)
def test_understood(line: str) -> None:
    options = dict(flatten(parse_args(line.split(" ")).to_dict()))
    for name, value in UNDERSTOOD[line].items():
        assert options[name] == (list(value) if isinstance(value, tuple) else value), name


@pytest.mark.parametrize("text", FILES, ids=lambda text: repr(text[:40]))
def test_a_file_is_answered(text: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        parse_args(["--config", str(file)])
    told = str(refused.value)
    assert told.startswith(f"--config {file}:") and "s3cret" not in told
    assert all(sentence in told for sentence in FILES[text]), told


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "~", "{}", "\ufefftrain: {seed: 3}", "train: {seed: 3}\r\nrollout: {top_p: 1}\r\n"]
)
def test_a_file_is_taken(text: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(text.encode())
    assert parse_args(["--config", str(file)]).train.seed == (3 if "3" in text else 42)


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("train: &t {max_tokens_per_gpu: 9}\nrollout: {<<: *t, batch_size: 3, max_tokens_per_gpu: 8}\n")
    given = parse_args(["--config", str(file)])
    assert (given.train.max_tokens_per_gpu, given.rollout.max_tokens_per_gpu) == (9, 8)


def test_a_whole_older_command_line_is_answered_at_once() -> None:
    flags = re.findall(r"--(\w+)", OLD_COMMAND)
    with pytest.raises(ConfigError) as refused:
        parse_args(OLD_COMMAND.split())
    told = str(refused.value).splitlines()
    assert len(told) == len(flags) and all(line.startswith(f"--{flag}") for line, flag in zip(told, flags, strict=True))
    assert "--save_path: is now --ckpt.output_dir" in told and "--l2: is now --actor.adam.weight_decay" in told


def test_all_of_todays_names_are_there() -> None:
    for old, new in OLDER.items():
        assert new in NAMES or refusal(new, None), f"{old} -> {new}"
        assert old not in NAMES and "." not in old
    for old, told in CHANGED.items():
        for name in re.findall(r"--([\w.]+)", told):
            assert name in NAMES or name in OLDER or name in CHANGED, f"{old}: {name}"


def test_a_pasted_line_with_other_blanks() -> None:
    for word in ("--train.seed\u00a03", "--train.seed 3"):
        with pytest.raises(ConfigError, match="--train.seed: its value is in the same word"):
            parse_args([word])


@pytest.mark.parametrize(
    "words",
    [
        ["-logger.wandb.key=s3cret"],
        ["logger.wandb.key=s3cret"],
        ["–logger.wandb.key=s3cret"],
        ["--logger.wandb.key s3cret"],
        ["--logger.wandb.key", "=", "s3cret"],
        ["--logger.wandb.key", "x", "s3cret"],
        ["--logger.wandb.kye", "s3cret"],
        ["--use_wandb", "s3cret"],
    ],
    ids=" ".join,
)
def test_no_answer_shows_the_key(words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_args(words)
    assert "wandb" in str(refused.value) and "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        (eval_math, "--modell m", "eval_math: --modell: unknown option; did you mean --model?"),
        (eval_math, "--perplexity maybe", "--perplexity is a switch"),
        (eval_math, "–model m", "–model: an option begins with two plain dashes, --model"),
        (eval_math, "--seed -1 --model m", "--seed -1: must be at least 0"),
        (plan, "--gpu_per_node 8", "plan: --gpu_per_node: unknown option; did you mean --gpus_per_node?"),
        (plan, "--nodes 1 -- --pretrain m", "--pretrain: is now --actor.model_name_or_path"),
    ],
    ids=str,
)
def test_other_commands_answer_alike(
    command: Any, arguments: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command", *arguments.split()])
    assert command.main() == 2
    assert told in capsys.readouterr().err


def test_a_good_job_whose_words_are_damaged(good_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Words dropped, doubled, swapped and replaced: the job is refused with an option's name, or has all its values."""
    words, rng = good_job(), random.Random(0)
    for _ in range(25):
        damaged = list(words)
        at, other = rng.randrange(len(words)), rng.randrange(len(words))
        how = rng.choice(("drop", "double", "swap", "replace"))
        if how == "drop":
            del damaged[at]
        elif how == "double":
            damaged.insert(at, damaged[at])
        elif how == "swap":
            damaged[at], damaged[other] = damaged[other], damaged[at]
        else:
            damaged[at] = rng.choice(("", "nan", "None", "-1", "x", "--", "--ds.packing_samples", "–", "1e400"))
        assert_refused_or_valid(damaged, capsys)


def assert_refused_or_valid(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        config = check(gpu_config(parse_args(words)))
    except ConfigError as error:
        assert re.search(r"--\w", str(error)), error
    except SystemExit as end:
        assert end.code == 2 and "--" in "".join(capsys.readouterr()), words
    else:
        assert config.actor.model_name_or_path and config.train.batch_size > 0


DAMAGES = {"null": None, "NaN": float("nan"), "text": "x", "list": [1], "switch": True, "negative": -1, "mapping": {}}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_good_file_with_one_damaged_value(damage: str, good_job: Any) -> None:
    """Every option of a good job in turn has a value of another kind: refused by its name, or valid as a whole."""
    whole = parse_args(good_job()).to_dict()
    for name in NAMES:
        options = copy.deepcopy(whole)
        *groups, last = name.split(".")
        group = options
        for key in groups:
            group = group[key]
        group[last] = DAMAGES[damage]
        try:
            check(gpu_config(from_dict(options)))
        except ConfigError as error:
            assert "--" in str(error), name


def test_the_words_of_the_command_reach_the_job(good_job: Any) -> None:
    done = attempt([*good_job(), "--ds.packing_samples", "False", "--no-vllm.enable_prefix_caching"])
    assert done.config is not None and not done.refused
    assert not done.config.ds.packing_samples and not done.config.vllm.enable_prefix_caching
