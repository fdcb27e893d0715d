"""vLLM's own options: which are refused and why, what vLLM is asked, and how they are written."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import gpu_config, gpu_job, job_options

from prepo_rlhf.backends import vllm_arguments
from prepo_rlhf.config import ConfigError, check, from_yaml, parse_args
from prepo_rlhf.config.engine_args import OWN_OPTIONS, engine_args, engine_args_problems
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.evaluation.options import check as check_evaluation

OPTION = "--vllm.engine_args"
NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3}
GOOD = {"speculative_config": NGRAM, "kv_cache_dtype": "fp8", "max_num_seqs": 64, "load_format": "safetensors",
        "compilation_config": {"pass_config": {"fuse_norm_quant": False}}, "attention_backend": "FLASH_ATTN",
        "disable_log_stats": False, "async_scheduling": False}  # fmt: skip
REFUSED: dict[str, tuple[Any, str]] = {
    "model": ("m", "give --actor.model_name_or_path"),
    "dtype": ("half", "give --ds.param_dtype"),
    "enable_prefix_caching": (False, "give --vllm.enable_prefix_caching"),
    "weight_transfer_config": ({"backend": "nccl"}, "give --vllm.sync_backend"),
    "pipeline_parallel_size": (2, "follows from the options of placement"),
    "data_parallel_size": (2, "follows from the options of placement"),
    "distributed_executor_backend": ("mp", "follows from the options of placement"),
    "worker_extension_cls": ("x.Y", "receives the weights"),
    "revision": ("main", "must be the same model"),
    "hf_overrides": ({"rope_theta": 1}, "must be the same model"),
    "skip_tokenizer_init": (True, "by the model's own tokenizer"),
    "runner": ("pooling", "must generate text"),
    "logprobs_mode": ("raw_logits", "what scoring and"),
    "max_logprobs": (0, "what scoring and"),
    "kv_sharing_fast_prefill": (True, "wrong log-probs"),
    "logits_processors": (["x.Y"], "no longer be samples"),
    "generation_config": ("vllm", "--rollout.stop"),
    "max_num_queued_reqs": (8, "would be refused"),
    "hf_token": ("secret", "HF_TOKEN"),
    "quantization": ("fp8", "never tried"),
    "enable_lora": (True, "names vLLM's own adapters change"),
    "cpu_offload_gb": (4, "cannot load new weights"),
    "enable_eplb": (True, "sent the weights of others"),
    "kv_offloading_size": (4, "outlive the weights"),
    "load_format": ("dummy", "take auto"),
    "speculative_config": (NGRAM | {"rejection_sample_method": "synthetic"}, "no samples of it"),
}


def job_with(given: Any, *switches: str) -> list[str]:
    text = given if isinstance(given, str) else json.dumps(given)
    return [*job_options("m", "d.jsonl", "r.py", Path("run")), OPTION, text, *switches]


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_break_a_job_is_refused_with_the_reason(name: str) -> None:
    value, reason = REFUSED[name]
    with pytest.raises(ConfigError) as refusal:
        gpu_job(job_with({name: value, "kv_cache_dtype": "fp8"}))
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"{OPTION} {name}") and reason in line
    assert not value == "secret" or "secret" not in line


def test_all_others_reach_the_engines_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps({"vllm": {"engine_args": GOOD}}))  # JSON is YAML: a mapping, nested as deep as they go
    typed, read = gpu_job(job_with(GOOD)), from_yaml(file)
    assert engine_args(typed.vllm.engine_args) == GOOD and read.vllm.engine_args == typed.vllm.engine_args
    assert engine_args(gpu_job(job_options("m", "d.jsonl", "r.py", Path("run"))).vllm.engine_args) == {}


@pytest.mark.parametrize("text", ["{fp8}", "[1]", "fp8", '{"max_num_seqs": NaN}'])
def test_what_is_no_json_object_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=f"{OPTION}: must be a JSON object"):
        gpu_job(job_with(text))


def test_on_a_cpu_seeds_need_whole_prompts() -> None:
    chunked = {"enable_chunked_prefill": True}
    given = parse_args(job_with(chunked, "--backend", "cpu", "--train.full_determinism_enable"))
    with pytest.raises(ConfigError, match="enable_chunked_prefill: on a CPU"):
        check(gpu_config(given))
    assert engine_args(gpu_job(job_with(chunked, "--train.full_determinism_enable")).vllm.engine_args) == chunked


def test_vllm_is_asked_for_names_and_plain_values() -> None:
    vllm_arguments.check(OPTION, GOOD)
    wrong = {
        "kv_cache_dtyp": "fp8",
        "max-num-seqs": 8,
        "num_gpus": 1,  # of our actor, not of vLLM
        "max_num_seqs": "many",
        "async_scheduling": 1,
        "kv_cache_dtype": "fp9",
        "speculative_config": {"metod": "ngram", "num_speculative_tokens": "4"},
    }
    with pytest.raises(ConfigError) as refusal:
        vllm_arguments.check(OPTION, wrong)
    told = str(refusal.value).splitlines()
    assert told[:3] == [
        f"{OPTION} kv_cache_dtyp: vLLM has no such option; did you mean kv_cache_dtype?",
        f"{OPTION} max-num-seqs: vLLM has no such option; did you mean max_num_seqs?",
        f"{OPTION} num_gpus: vLLM has no such option; vLLM's documentation of EngineArgs lists all of them",
    ]
    assert told[3:5] == [
        f"{OPTION} max_num_seqs 'many': must be a valid integer",
        f"{OPTION} async_scheduling 1: must be a valid boolean",
    ]
    assert told[5].startswith(f"{OPTION} kv_cache_dtype 'fp9': must be 'auto', ")
    assert told[6:] == [
        f"{OPTION} speculative_config metod: vLLM has no such option; did you mean method?",
        f"{OPTION} speculative_config num_speculative_tokens '4': must be a valid integer",
    ]


def test_every_name_that_is_refused_is_one_of_vllms() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    names = {field.name for field in fields(AsyncEngineArgs)}
    refused = [name for name in names if list(engine_args_problems(OPTION, {name: "x"}))]
    assert set(REFUSED) | set(OWN_OPTIONS) <= set(refused) <= names and len(refused) > 60


def test_an_evaluation_refuses_what_has_an_option_there() -> None:
    with pytest.raises(ConfigError) as refusal:
        check_evaluation(BenchmarkOptions(model="m", engine_args='{"seed": 1, "hf_token": "t"}'))
    lines = str(refusal.value).splitlines()
    assert lines[0] == "--engine_args seed: has an option of its own; give --seed" and "HF_TOKEN" in lines[1]
    with pytest.raises(ConfigError, match="--engine_args: must be a JSON object"):
        check_evaluation(BenchmarkOptions(model="m", engine_args="seed"))
    check_evaluation(BenchmarkOptions(model="m", engine_args='{"quantization": "fp8", "enforce_eager": true}'))
