"""Options of the models: the policy and its optimizer, the reference model, the rollout engines, DeepSpeed.

Boundary: standard library and annotated_types. The string under a field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from prepo_rlhf.config.base import OnResume, Options
from prepo_rlhf.config.bounds import JsonObject


@dataclass(frozen=True)
class AdamOptions(Options):
    """AdamW; with `--actor.optim muon`, for the parameters that Muon leaves out."""

    on_resume = OnResume.KEPT

    lr: Annotated[float, Ge(0)] = 1e-6
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the running mean of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the denominator of the update."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled weight decay."""


@dataclass(frozen=True)
class MuonOptions(Options):
    """Muon, used with `--actor.optim muon`."""

    on_resume = OnResume.KEPT

    lr: Annotated[float, Ge(0)] = 0.02
    """Peak learning rate of the two-dimensional weights."""
    momentum: float = 0.95
    """Momentum of the update."""
    ns_steps: int = 5
    """Newton-Schulz iterations (DeepSpeed 0.19 always takes 5)."""
    nesterov: bool = True
    """Nesterov momentum (DeepSpeed 0.19 always uses it)."""


@dataclass(frozen=True)
class ActorOptions(Options):
    """The policy that is trained."""

    on_resume = OnResume.SAME

    num_nodes: Annotated[int, Ge(1)] = 1
    """Machines for the policy; above 1, as many different ones."""
    num_gpus_per_node: Annotated[int, Ge(1)] = 8
    """GPUs for the policy on each machine (logical GPUs on a CPU)."""
    model_name_or_path: str | None = None
    """Folder or Hugging Face name of the model to start from. Required."""
    trust_remote_code: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Run Python code that the model brings along, and load weights that are pickles: only if you trust its authors
    (OpenRLHF always does)."""
    gradient_checkpointing_enable: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Recompute activations in the backward pass, to save memory."""
    gradient_checkpointing_reentrant: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Use torch's re-entrant form of gradient checkpointing."""
    eps_clip: float | None = None
    """One clip range for both sides, in place of eps_clip_low_high (OpenRLHF's default is 0.2)."""
    eps_clip_low_high: tuple[float, float] = (0.2, 0.28)
    """The importance ratio is clipped to [1 - LOW, 1 + HIGH]. PREPO's values (OpenRLHF's default is 0.2 0.2)."""
    dual_clip: Annotated[float, Gt(1)] | None = None
    """Bound the loss of negative advantages at this multiple of the advantage (dual-clip PPO); above 1."""
    policy_loss_type: Literal["ppo", "gspo"] = "ppo"
    """Importance ratio of each token (ppo) or of each sequence (gspo)."""
    loss_agg_mode: Literal["token-mean", "seq-mean-token-mean"] = "token-mean"
    """Every response token weighs the same (token-mean), or every sequence does (seq-mean-token-mean)."""
    aux_loss_coef: float = 0.0
    """Coefficient of the load-balancing loss of mixture-of-experts models."""
    entropy_coef: float | None = None
    """Coefficient of the entropy bonus; 0 only logs the entropy."""
    optim: Literal["adam", "muon"] = "adam"
    """Optimizer."""
    muon: MuonOptions = field(default_factory=MuonOptions)
    adam: AdamOptions = field(default_factory=AdamOptions)
    lr_scheduler: Annotated[str, OnResume.KEPT] = "cosine_with_min_lr"
    """Learning-rate schedule, by its name in transformers."""
    lr_warmup_ratio: Annotated[float, Ge(0), Le(1), OnResume.KEPT] = 0.03
    """Share of the steps in which the learning rate rises from 0."""
    min_lr_ratio: Annotated[float, Ge(0), Le(1), OnResume.KEPT] = 0.1
    """Last learning rate as a share of the peak."""
    max_norm: Annotated[float, Ge(0), OnResume.KEPT] = 1.0
    """Gradients are scaled down to this norm; with 0 they are left as they are, as Muon wants it."""


@dataclass(frozen=True)
class RefOptions(Options):
    """The frozen reference model, started only with `--algo.kl.init_coef` above 0."""

    on_resume = OnResume.TAKES_EFFECT

    num_nodes: Annotated[int, Ge(1)] = 1
    """Machines for the reference model, as for the policy."""
    num_gpus_per_node: Annotated[int, Ge(1)] = 8
    """GPUs for the reference model on each machine."""
    offload: bool = False
    """Keep its weights in CPU memory between uses."""


@dataclass(frozen=True)
class VllmOptions(Options):
    """The rollout engines."""

    on_resume = OnResume.TAKES_EFFECT

    num_engines: Annotated[int, Ge(1)] | None = None
    """Number of vLLM engines; by default 1, and with --train.colocate_all as many as fit the policy's GPUs (OpenRLHF's
    default is none)."""
    tensor_parallel_size: Annotated[int, Ge(1)] = 1
    """GPUs for each engine."""
    sync_backend: Literal["nccl", "ipc", "gloo"] | None = None
    """How new weights travel to the engines; by default nccl on GPUs (ipc when all is colocated), gloo on a CPU."""
    enable_prefix_caching: bool = True
    """Let vLLM reuse the computed prefix of earlier prompts: generation then starts from what scoring has computed
    (OpenRLHF's default is off). Switched off where it could change results: with --train.partial_rollout_enable and
    --train.full_determinism_enable."""
    enforce_eager: bool = False
    """Run vLLM without CUDA graphs."""
    enable_sleep: bool = False
    """Engines free their GPU memory while the policy trains (with --train.colocate_all)."""
    gpu_memory_utilization: Annotated[float, Le(1)] = 0.95
    """Share of a GPU's memory that an engine may take."""
    engine_args: JsonObject | None = None
    """JSON object of vLLM's own engine arguments, as in {"kv_cache_dtype": "fp8"}, which win over all others. Refused
    are those that have an option here, or that would break scoring, weight sync or placement."""


@dataclass(frozen=True)
class LoraOptions(Options):
    """Low-rank adapters."""

    on_resume = OnResume.SAME

    rank: Annotated[int, Ge(0)] = 0
    """Rank of the adapters; 0 trains all weights."""
    alpha: int = 16
    """Scale of the adapters, over the rank."""
    target_modules: str | list[str] = "all-linear"
    """Names of the modules that get an adapter, or all-linear."""
    dropout: Annotated[float, Ge(0)] = 0.0
    """Dropout in front of the adapters."""


@dataclass(frozen=True)
class DeepSpeedOptions(Options):
    """How the policy is held, split and computed."""

    on_resume = OnResume.SAME

    zero_stage: Annotated[int, Ge(0), Le(3)] = 2
    """DeepSpeed's ZeRO stage, 0 to 3."""
    param_dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Data type of the weights, in policy and engines. Many CPUs can only emulate bf16 and are faster with fp32."""
    attn_implementation: Annotated[str | None, OnResume.TAKES_EFFECT] = None
    """Attention of the policy, by its name in transformers; by default flash_attention_2 if installed and the data type
    is one of its own, else sdpa. For packed samples that is packed_sdpa, which pads in attention alone."""
    experts_implementation: Annotated[
        Literal["eager", "batched_mm", "grouped_mm", "deepgemm"] | None, OnResume.TAKES_EFFECT
    ] = None
    """How experts are computed in mixture-of-experts models; by default transformers chooses."""
    packing_samples: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Train on sequences laid end to end, without padding."""
    ring_attn_size: Annotated[int, Ge(1)] = 1
    """GPUs that share one sequence by ring attention; above 1 implies packing_samples and needs flash-attn."""
    ring_attn_head_stride: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 1
    """Heads in one pass of ring attention; a divisor of the number of heads."""
    tensor_parallel_size: Annotated[int, Ge(1)] = 1
    """OpenRLHF's GPUs that share each layer of the policy: only 1 here; --ds.zero_stage 3 splits weights instead."""
    zpg: Annotated[int, Ge(1)] = 1
    """Size of the secondary partition of ZeRO++."""
    adam_offload: bool = False
    """Keep the optimizer's state in CPU memory."""
    overlap_comm: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Overlap the reduction of gradients with the backward pass."""
    grad_accum_dtype: str | None = None
    """Data type in which gradients are accumulated."""
    deepcompile: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Compile the training graph with DeepCompile."""
    use_liger_kernel: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Use Liger's fused kernels."""
    enable_sleep: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Move the policy's states to CPU memory while the engines generate (with --train.colocate_all)."""
    load_in_4bit: bool = False
    """OpenRLHF's frozen weights in 4 bits: not here, where engines and policy have the same ones."""
    lora: LoraOptions = field(default_factory=LoraOptions)
