"""All options in one object: `config.actor.adam.lr` is `--actor.adam.lr`.

A `GivenConfig` is what a user gave; `resolve` makes the `Config` of a run from it. Both are frozen, with all
their groups: OpenRLHF's classes get the `Config` as `strategy.args`, pickled, and none of those used here (0.11.2)
assigns to it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from prepo_rlhf.config.base import OnResume, Options
from prepo_rlhf.config.models import ActorOptions, DeepSpeedOptions, RefOptions, VllmOptions
from prepo_rlhf.config.records import CheckpointOptions, EvalOptions, LoggerOptions
from prepo_rlhf.config.training import (
    AlgoOptions,
    DataOptions,
    PrepoOptions,
    RewardOptions,
    RolloutOptions,
    TrainOptions,
)


@dataclass(frozen=True)
class GivenConfig(Options):
    """All options as given, with defaults for the rest; None stands for a value that `resolve` derives from others."""

    actor: ActorOptions = field(default_factory=ActorOptions)
    ref: RefOptions = field(default_factory=RefOptions)
    vllm: VllmOptions = field(default_factory=VllmOptions)
    ds: DeepSpeedOptions = field(default_factory=DeepSpeedOptions)
    data: DataOptions = field(default_factory=DataOptions)
    rollout: RolloutOptions = field(default_factory=RolloutOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    algo: AlgoOptions = field(default_factory=AlgoOptions)
    reward: RewardOptions = field(default_factory=RewardOptions)
    eval: EvalOptions = field(default_factory=EvalOptions)
    ckpt: CheckpointOptions = field(default_factory=CheckpointOptions)
    logger: LoggerOptions = field(default_factory=LoggerOptions)
    prepo: PrepoOptions = field(default_factory=PrepoOptions)
    backend: Annotated[Literal["auto", "cpu", "cuda"], OnResume.SAME] = "auto"
    """Where to run; auto takes GPUs if there are any."""
    use_ms: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Download models from ModelScope instead of Hugging Face."""
    local_rank: Annotated[int, OnResume.TAKES_EFFECT] = -1
    """Set by DeepSpeed's launcher."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dicts of all options, a deep copy (tuples stay tuples)."""
        return asdict(self)


class _Actor(ActorOptions):
    model_name_or_path: str


class _Vllm(VllmOptions):
    num_engines: int


class _DeepSpeed(DeepSpeedOptions):
    attn_implementation: str


class _Data(DataOptions):
    prompt_dataset: str


class _Rollout(RolloutOptions):
    vllm_generate_batch_size: int
    max_tokens_per_gpu: int
    stop: list[str]


class _Reward(RewardOptions):
    remote_url: str


class _Logger(LoggerOptions):
    tensorboard_dir: str


class _Prepo(PrepoOptions):
    candidate_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Config(GivenConfig):
    """The options of a run, made by `resolve`. After `check`, no field whose type excludes None is None."""

    actor: _Actor
    vllm: _Vllm
    ds: _DeepSpeed
    data: _Data
    rollout: _Rollout
    reward: _Reward
    logger: _Logger
    prepo: _Prepo
    backend: Literal["cpu", "cuda"]

    @property
    def may_share_prompts(self) -> bool:
        """Whether a prompt's tokens may be computed once for the packed rollouts that begin with it. Flash attention
        looks at one sequence alone; a load-balancing loss is a mean over tokens, and would count a shared one once."""
        return self.ds.attn_implementation == "packed_sdpa" and self.actor.aux_loss_coef == 0
