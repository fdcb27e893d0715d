"""Every mistake about options, data and models is refused before Ray starts, by the option's name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_tiny_model
from tiny_tasks import ROOT, job_options, question_rows

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import ConfigError
from prepo_rlhf.trainer import job

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "missing dataset": ({"data__prompt_dataset": "/nowhere/prompts.jsonl"}, "--data.prompt_dataset"),
    "empty dataset": ({"data__prompt_dataset": "EMPTY"}, "--data.prompt_dataset"),
    "wrong input key": ({"data__input_key": "prompt"}, "--data.input_key prompt"),
    "wrong label key": ({"data__label_key": "solution"}, "--data.label_key solution"),
    "input is no text": ({"data__input_key": "chat"}, "--data.apply_chat_template"),
    "|B| < K": ({"prepo__candidate_batch_size": 3}, "--prepo.candidate_batch_size 3"),
    "dataset smaller than |B|": ({"prepo__candidate_batch_size": 200}, "--prepo.candidate_batch_size 200"),
    "one rollout a prompt": ({"rollout__n_samples_per_prompt": 1}, "--rollout.n_samples_per_prompt 1"),
    "a selector that predicts nothing": (
        {"algo__advantage__estimator": "posterior"},
        "--algo.advantage.estimator posterior: --prepo.selector prepo predicts no pass rate",
    ),
    "a selector of one's own that predicts nothing": (
        {"algo__advantage__estimator": "posterior", "prepo__selector": "OWN"},
        "own.py:Own predicts no pass rate to have in the baseline; give its class `predicts = True`",
    ),
    "one that needs entropies": (
        {"train__async_enable": True, "prepo__selector": "OWN_ENTROPIES"},
        "own.py:WithEntropies needs entropies: with --train.async_enable the policy is being trained",
    ),
    "one that drops groups, of one": (
        {
            "rollout__n_samples_per_prompt": 1,
            "rollout__batch_size": 8,
            "algo__advantage__estimator": "reinforce",
            "prepo__selector": "OWN_DROPPING",
        },
        "--rollout.n_samples_per_prompt 1: --prepo.selector ",
    ),
    "unknown model": ({"actor__model_name_or_path": "/nowhere/model"}, "--actor.model_name_or_path /nowhere/model"),
    "no chat template": (
        {"actor__model_name_or_path": "PLAIN", "data__apply_chat_template": True},
        "--data.apply_chat_template",
    ),
    "no room for a prompt": ({"data__max_len": 16}, "--data.max_len 16"),
    "no prompt fits": ({"data__max_len": 20}, "--data.max_len 20"),
    "batch and ranks": ({"actor__num_gpus_per_node": 3}, "--train.batch_size 8"),
    "missing reward file": ({"reward__remote_url": "/nowhere/reward.py"}, "--reward.remote_url"),
    "no reward function": ({"reward__remote_url": "EMPTY_REWARD"}, "--reward.remote_url"),
    "unwritable run_dir": ({"logger__run_dir": "/proc/run"}, "--logger.run_dir /proc/run"),
    "ring attention without flash-attn": (
        {"ds__ring_attn_size": 2, "ds__param_dtype": "bf16", "actor__num_gpus_per_node": 2},
        "--ds.ring_attn_size 2: needs flash-attn",
    ),
    "Liger's kernels without Liger": ({"ds__use_liger_kernel": True}, "--ds.use_liger_kernel: needs liger-kernel"),
    "a missing eval set": ({"eval__dataset": "/nowhere/eval.jsonl", "eval__steps": 1}, "--eval.dataset"),
    "math without labels": ({"reward__remote_url": "math", "data__label_key": None}, "needs --data.label_key"),
    "math without a reference answer": (
        {"reward__remote_url": "math", "data__label_key": "blank"},
        "2 rows of --data.prompt_dataset have no reference answer (line 8, line 10)",
    ),
    "no such reward": ({"reward__remote_url": "maths"}, "--reward.remote_url maths: give math"),
    "missing agent": ({"train__agent_func_path": "/nowhere/agent.py"}, "--train.agent_func_path"),
}

OWN = """
from prepo_rlhf.selection import PromptSelector

class Own(PromptSelector):
    def select(self, candidates, k, progress):
        return list(range(k))

class WithEntropies(Own):
    needs_entropies = True

class Dropping(Own):
    drops_zero_variance = True
"""
OWN_CLASSES = {"OWN": "Own", "OWN_ENTROPIES": "WithEntropies", "OWN_DROPPING": "Dropping"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that the cases name in capitals."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "empty.jsonl").write_text("")
    (folder / "empty.py").write_text("")
    rows = [row | {"chat": [{"role": "user", "content": row["question"]}], "blank": "1"} for row in question_rows(60)]
    rows[7]["blank"], rows[9]["blank"] = "####", "It is so. #### "
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = make_tiny_model(folder / "plain", [row["question"] for row in rows])
    (folder / "plain" / "chat_template.jinja").unlink()
    (folder / "own.py").write_text(OWN)
    return {
        **{name: f"{folder}/own.py:{cls}" for name, cls in OWN_CLASSES.items()},
        "EMPTY": str(folder / "empty.jsonl"),
        "EMPTY_REWARD": str(folder / "empty.py"),
        "ROWS": str(folder / "rows.jsonl"),
        "PLAIN": plain,
    }


@pytest.mark.parametrize("case", CASES)
def test_refused_by_name(
    case: str, places: dict[str, str], tiny_llama: str, parity_reward: str, tmp_path: Path, monkeypatch: Any
) -> None:
    started: list[object] = []
    monkeypatch.setattr(job, "start_ray", started.append)
    changes, message = CASES[case]
    changes = {name: places.get(str(value), value) for name, value in changes.items()}
    arguments = job_options(tiny_llama, places["ROWS"], parity_reward, tmp_path, **changes)
    with pytest.raises(ConfigError) as refusal:
        job.run(job_config(arguments))
    assert message in str(refusal.value)
    assert not started


def test_a_dataset_that_is_a_program_is_refused_and_does_not_run(
    tiny_llama: str, parity_reward: str, tmp_path: Path
) -> None:
    mark, program = tmp_path / "mark", tmp_path / "prompts.py"
    program.write_text(f"open({str(mark)!r}, 'w')\n")
    with pytest.raises(ConfigError, match="--data.prompt_dataset"):
        job.run(job_config(job_options(tiny_llama, str(program), parity_reward, tmp_path / "run")))
    assert not mark.exists()


def test_the_command_line_prints_the_refusal_and_starts_nothing(tiny_llama: str, tmp_path: Path) -> None:
    arguments = job_options(tiny_llama, "/nowhere/prompts.jsonl", "/nowhere/reward.py", tmp_path)
    command = [sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "train_prepo_ray: --reward.remote_url: there is no file /nowhere/reward.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_long_prompts_are_left_out_and_counted(tiny_llama: str, places: dict[str, str], tmp_path: Path) -> None:
    from prepo_rlhf.prompts.load import load_prompts, load_tokenizer

    config = job_config(job_options(tiny_llama, places["ROWS"], "x.py", tmp_path, data__max_len=60))
    tokenizer = load_tokenizer(config)
    data = load_prompts(config, tokenizer)
    assert 0 < data.num_left_out == 60 - len(data)
    assert all(len(prompt.token_ids) + 16 <= 60 for prompt in data.prompts)
    whole = [tokenizer(prompt.text, add_special_tokens=False)["input_ids"] for prompt in data.prompts]
    assert [prompt.token_ids for prompt in data.prompts] == whole


@pytest.mark.parametrize("template", [None, "Solve this: {}\nAnswer:"])
def test_question_tokens_only(template: str | None, tiny_llama: str, places: dict[str, str], tmp_path: Path) -> None:
    from prepo_rlhf.prompts.load import load_prompts, load_tokenizer

    changes = {"data__input_template": template} if template else {"data__apply_chat_template": True}
    options = job_options(tiny_llama, places["ROWS"], "x.py", tmp_path, prepo__ppl_tokens="question", **changes)
    config = job_config(options)
    tokenizer = load_tokenizer(config)
    data = load_prompts(config, tokenizer)
    for row, prompt in zip(question_rows(60), data.prompts, strict=True):
        start, stop = prompt.scored
        assert row["question"] in tokenizer.decode(prompt.token_ids[start:stop])
        assert start > 0 and stop < len(prompt.token_ids)
