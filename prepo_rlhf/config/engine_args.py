"""vLLM's own options (`--vllm.engine_args`): which of them would break scoring, weight sync or placement, and why.

Boundary: names and values as JSON has them; whether vLLM has such options is found out by `backends.vllm_arguments`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# vLLM's name -> the option that sets it.
OWN_OPTIONS = {
    "model": "actor.model_name_or_path",
    "trust_remote_code": "actor.trust_remote_code",
    "seed": "train.seed",
    "dtype": "ds.param_dtype",
    "max_model_len": "data.max_len",
    "tensor_parallel_size": "vllm.tensor_parallel_size",
    "gpu_memory_utilization": "vllm.gpu_memory_utilization",
    "enable_prefix_caching": "vllm.enable_prefix_caching",
    "enforce_eager": "vllm.enforce_eager",
    "enable_sleep_mode": "vllm.enable_sleep",
    "weight_transfer_config": "vllm.sync_backend",
}
_PLACEMENT = "how many processes and GPUs an engine has, and where, follows from the options of placement"
_MODEL = "policy and engines must be the same model, so change the model's folder instead"
_TOKENIZER = "prompts are tokenised before they reach an engine, and responses decoded, by the model's own tokenizer"
_LOG_PROBS = "is set to what scoring and --algo.advantage.is_correction_level need"
_ENDS = "which tokens end a response is found out before the engines start; add others with --rollout.stop"
_QUEUE = "all requests of a step wait in the engine's queue at once, and those beyond the limit would be refused"
_GENERATES = "an engine must generate text token by token"
_REFUSED = {
    **dict.fromkeys(
        ("distributed_executor_backend", "pipeline_parallel_size", "prefill_context_parallel_size", "nnodes",
         "node_rank", "master_addr", "master_port", "device_ids", "worker_cls", "enable_elastic_ep"),
        _PLACEMENT,
    ),
    "worker_extension_cls": "is this project's own, which receives the weights",
    **dict.fromkeys(
        ("hf_overrides", "hf_config_path", "config_format", "model_class_overrides", "model_weights", "revision",
         "code_revision"),
        _MODEL,
    ),
    **dict.fromkeys(
        ("tokenizer", "tokenizer_mode", "tokenizer_revision", "skip_tokenizer_init", "tokens_only"), _TOKENIZER
    ),
    **dict.fromkeys(("runner", "convert", "pooler_config", "diffusion_config"), _GENERATES),
    **dict.fromkeys(("max_logprobs", "logprobs_mode"), _LOG_PROBS),
    "kv_sharing_fast_prefill": "gives wrong log-probs of a prompt's tokens, by which prompts are scored",
    "logits_processors": "responses would no longer be samples of the model whose log-probs they are trained with",
    **dict.fromkeys(("generation_config", "override_generation_config"), _ENDS),
    **dict.fromkeys(("max_num_queued_reqs", "max_num_queued_tokens"), _QUEUE),
    "hf_token": "would be saved with the run's options; set the environment variable HF_TOKEN instead",
}  # fmt: skip
_QUANTISED = "weights are sent as they are, in --ds.param_dtype; to send them to a quantised engine was never tried"
_OFFLOADED = "vLLM cannot load new weights into layers that it keeps in CPU memory"
_EXPERTS = "experts that vLLM has moved between GPUs would be sent the weights of others"
_OUTSIDE = "prompts cached outside the engine would outlive the weights that they were computed with"
_REFUSED_WITH_SYNC = {
    **dict.fromkeys(("quantization", "quantization_config", "allow_deprecated_quantization"), _QUANTISED),
    "enable_lora": "adapters are merged into the weights that are sent, whose names vLLM's own adapters change",
    **dict.fromkeys(
        ("cpu_offload_gb", "cpu_offload_params", "offload_backend", "offload_group_size", "offload_num_in_group",
         "offload_prefetch_step", "offload_params"),
        _OFFLOADED,
    ),
    **dict.fromkeys(("enable_eplb", "eplb_config"), _EXPERTS),
    **dict.fromkeys(("kv_transfer_config", "kv_offloading_size", "kv_offloading_backend"), _OUTSIDE),
}  # fmt: skip
_LOAD_FORMATS = ("auto", "safetensors", "fastsafetensors", "runai_streamer")  # that read the model's own weights


def engine_args(text: str | None) -> dict[str, Any]:
    """vLLM's options by name, from the JSON object of `--vllm.engine_args`; none where it is not given."""
    return json.loads(text) if text else {}


def engine_args_problems(
    option: str, given: Mapping[str, Any], own: Mapping[str, str] = OWN_OPTIONS, synced: bool = True
) -> Iterator[str]:
    """A line for each of vLLM's options in `given` that cannot be set, with the reason.

    Args:
        option: what they were given as.
        own: vLLM's names with the options of the command that set them.
        synced: whether the engines are sent new weights.
    """
    refused = _REFUSED | _REFUSED_WITH_SYNC if synced else _REFUSED
    for name, value in given.items():
        if name in own:
            yield f"{option} {name}: has an option of its own; give --{own[name]}"
        elif name.startswith("data_parallel"):
            yield f"{option} {name}: {_PLACEMENT}; remove it"
        elif name in refused:
            yield f"{option} {name}: {refused[name]}; remove it"
        elif name == "load_format" and value not in _LOAD_FORMATS:
            yield f"{option} load_format {value!r}: engines start with the model's own weights; take auto"
        elif name == "speculative_config":
            yield from _speculation_problems(option, value)


def _speculation_problems(option: str, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f'{option} speculative_config {value!r}: give a JSON object, as in {{"method": "ngram", ...}}'
    elif value.get("rejection_sample_method") == "synthetic":
        yield (
            f"{option} speculative_config: rejection_sample_method synthetic accepts drafts whatever the model says, "
            "so that responses are no samples of it; take standard"
        )
