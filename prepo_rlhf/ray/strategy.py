"""OpenRLHF's DeepSpeed strategy: an optimizer that every machine can run, and no update that is not finite.

Boundary: how a model is trained; on which data, and with which loss, is decided by the policy actor.
"""

from __future__ import annotations

import math
from typing import Any

import deepspeed
import ray
import torch
from openrlhf.utils.deepspeed import DeepspeedStrategy

from prepo_rlhf import backends
from prepo_rlhf.backends import deepspeed_engine
from prepo_rlhf.config import Config


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or a weight is NaN or infinite: nothing of this step may be saved or sent to the engines."""

    def __str__(self) -> str:  # not in __init__, which runs once more where Ray unpickles the error
        return (
            f"{self.args[0]}, so no weight of this step is saved or sent to the engines; look at --actor.adam.lr, at "
            "the rewards, and at the model's own weights"
        )


class Strategy(DeepspeedStrategy):
    """How models are distributed and trained; made once in the driver, and sent to every actor."""

    args: Any  # the job's Config
    _finite_loss: torch.Tensor | None = None  # whether the losses since the last optimizer step all were

    def setup_distributed(self, *args: Any, **kwargs: Any) -> None:
        if backends.current_backend() == "cpu":
            from prepo_rlhf.backends import cpu

            deepspeed_engine.leave_reductions_to_gloo()
            cpu.let_gloo_listen_at(ray.util.get_node_ip_address())
        super().setup_distributed(*args, **kwargs)
        deepspeed_engine.leave_buckets_unfilled()

    def backward(self, loss: torch.Tensor, model: Any, _optimizer: Any, **kwargs: Any) -> None:
        finite = loss.detach().isfinite().all()
        self._finite_loss = finite if self._finite_loss is None else self._finite_loss & finite
        super().backward(loss, model, _optimizer, **kwargs)

    def optimizer_step(self, _optimizer: Any, model: Any, _scheduler: Any, name: str = "model", **kwargs: Any) -> None:
        """OpenRLHF's, which does nothing between two optimizer steps; every rank comes to the same decision.

        Raises:
            NotFiniteError: the gradient is not finite. ZeRO-1 and 2 have left the weights alone then.
        """
        at_boundary = model.model.is_gradient_accumulation_boundary()
        super().optimizer_step(_optimizer, model, _scheduler, name, **kwargs)
        if not at_boundary:
            return
        finite_loss, self._finite_loss = bool(self._finite_loss), None
        norm = self.get_grad_norm(model)
        if deepspeed_engine.skipped_update(model.model) or not math.isfinite(norm):
            what = "the gradient is" if finite_loss else "the loss and its gradient are"
            raise NotFiniteError(f"{what} not finite")

    @torch.no_grad()
    def moving_average(self, model: Any, model_ema: Any, beta: float = 0.992, device: Any = None) -> None:
        """Move every weight of `model_ema` to beta of itself and 1 - beta of the `model`'s: once an update.

        OpenRLHF's counts its calls as micro-batches, and under ZeRO-3 changes copies that are then thrown away.
        """
        for weight, average in zip(model.parameters(), model_ema.parameters(), strict=True):
            with _gathered(weight), _gathered(average, modifier_rank=0):
                average.data.mul_(beta).add_(weight.data.to(average.device), alpha=1 - beta)

    def get_ds_train_config(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        config = super().get_ds_train_config(*args, **kwargs)
        if backends.current_backend() == "cpu":
            deepspeed_engine.use_torch_adam(config)
            deepspeed_engine.gather_one_by_one(config)
        return config


def _gathered(parameter: torch.nn.Parameter, modifier_rank: int | None = None) -> Any:
    """The whole parameter, of which each rank has a share under ZeRO-3; all get what `modifier_rank` has made of it."""
    return deepspeed.zero.GatheredParameters([parameter], modifier_rank, enabled=hasattr(parameter, "ds_id"))


def make_strategy(config: Config) -> Strategy:
    """The strategy of a job; OpenRLHF's classes find the job's options as `strategy.args`."""
    strategy = Strategy(
        seed=config.train.seed,
        full_determinism=config.train.full_determinism_enable,
        max_norm=config.actor.max_norm,
        micro_train_batch_size=config.train.micro_batch_size,
        train_batch_size=config.train.batch_size,
        zero_stage=config.ds.zero_stage,
        args=config,
    )
    # As with dynamic batches, the policy says which micro-batch is an update's last: DeepSpeed is told of one.
    strategy.use_dynamic_batch = True
    return strategy
