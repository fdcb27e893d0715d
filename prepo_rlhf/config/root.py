"""All options in one object: `config.actor.adam.lr` is `--actor.adam.lr`.

Boundary: standard library only. OpenRLHF's classes get a `Config` as `strategy.args`: it is mutable, and pickles.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from prepo_rlhf.config.base import Options
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


@dataclass
class Config(Options):
    """All options."""

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
    backend: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run; auto takes GPUs if there are any."""
    use_ms: bool = False
    """Download models from ModelScope instead of Hugging Face."""
    local_rank: int = -1
    """Set by DeepSpeed's launcher."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dicts of all options, a deep copy (tuples stay tuples)."""
        return dataclasses.asdict(self)
