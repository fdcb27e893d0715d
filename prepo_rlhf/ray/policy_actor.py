"""The policy as a Ray actor: OpenRLHF's, plus entropy, prompt scoring, our objective and vLLM's weight transfer.

One actor is one DeepSpeed rank. It is given batches of tensors, and knows neither the prompts' text nor the reward.
"""

from __future__ import annotations

import os
import random
from functools import partial
from typing import Any

import numpy as np
import torch
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ray.ppo_actor import ActorPPOTrainer, PolicyModelActor
from openrlhf.utils.distributed_util import torch_dist_barrier_and_cuda_sync

from prepo_rlhf.algorithm.entropy_weights import sequence_mean_entropy
from prepo_rlhf.algorithm.reuse import reuse_sums
from prepo_rlhf.backends import deepspeed_engine, remote_code
from prepo_rlhf.backends.subclassing import plain_class, specialise
from prepo_rlhf.config.base import flatten
from prepo_rlhf.ray import progress, stacks
from prepo_rlhf.ray.actor_loss import WeightedPolicyLoss
from prepo_rlhf.ray.policy_model import PolicyModel
from prepo_rlhf.ray.saved_model import save_model
from prepo_rlhf.ray.strategy import Strategy
from prepo_rlhf.ray.training_pass import REPLAY_SUMS, MicroBatch, run_pass
from prepo_rlhf.ray.weight_sync import WeightSync

WEIGHT_KEY = "prepo_weight"  # in Experience.info: the relative-entropy weight w_i of each sequence
REPLAYED_KEY = "prepo_replayed"  # and whether it is of an earlier step's rollouts


class WeightedActorTrainer(ActorPPOTrainer):
    """OpenRLHF's training step on PREPO's objective: each micro-batch's loss is bound to its weights."""

    actor_loss_fn: Any  # OpenRLHF's, which says that it is always a module

    @progress.counted
    def training_step(
        self, experience: Experience, kl_ctl: float, step: int, loss_batch_info: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        deepspeed_engine.end_accumulation(self.actor.model, bool(self.replay_buffer.dynamic_optimizer_step[step]))
        weights = torch.as_tensor(experience.info.pop(WEIGHT_KEY), dtype=torch.float32)
        replayed = torch.as_tensor(experience.info.pop(REPLAYED_KEY), dtype=torch.bool)
        policy_loss, device = self.actor_loss_fn, experience.sequences.device
        self.actor_loss_fn = partial(policy_loss, weights=weights.to(device))
        if self.args.train.replay_depth:
            self.actor_loss_fn = partial(self._measured, self.actor_loss_fn, replayed.to(device), experience.info)
        try:
            return super().training_step(experience, kl_ctl, step, loss_batch_info)
        finally:
            self.actor_loss_fn = policy_loss

    def _measured(
        self,
        loss: Any,
        replayed: torch.Tensor,
        info: dict[str, Any],
        log_probs: torch.Tensor,
        old_log_probs: torch.Tensor,
        advantages: torch.Tensor,
        action_mask: torch.Tensor,
        **kwargs: Any,
    ) -> Any:
        """`loss` of a micro-batch; puts REPLAY_SUMS of its `replayed` sequences into `info`, as measures."""
        eps_low, eps_high = self.args.actor.eps_clip_low_high
        tokens = action_mask * replayed.unsqueeze(-1)
        sums = reuse_sums(log_probs.detach(), old_log_probs, advantages, tokens, eps_low, eps_high)
        info |= dict(zip(REPLAY_SUMS, sums, strict=True))
        return loss(log_probs, old_log_probs, advantages, action_mask=action_mask, **kwargs)


class PolicyActor(plain_class(PolicyModelActor)):
    """One rank of the policy."""

    def init_model_from_pretrained(
        self, strategy: Strategy, pretrain: str, max_steps: int, vllm_engines: list[Any]
    ) -> None:
        progress.tell()
        stacks.keep_ready()
        args = strategy.args
        if not args.actor.trust_remote_code:
            remote_code.refuse()
        # Without engines OpenRLHF builds no weight-sync group of its own.
        super().init_model_from_pretrained(strategy, pretrain, max_steps, vllm_engines=None)
        specialise(self.actor, PolicyModel)
        self.actor.may_share_prompts = args.may_share_prompts
        specialise(self.trainer, WeightedActorTrainer)
        specialise(self.trainer.actor_loss_fn, WeightedPolicyLoss)
        deepspeed_engine.check_gradients(self.actor.model)
        deepspeed_engine.keep_norm(self.actor.model)
        # Mini-batches differ in how many micro-batches are left of them, as OpenRLHF's do with dynamic batches.
        self.trainer.args = args.replaced({"train.dynamic_batch_enable": True})
        self.weight_sync = WeightSync(strategy, self.actor.model.module, vllm_engines)

    def seed(self, seed: int) -> None:
        """Seed this rank's random numbers: the control loop does so before each step, so that a resumed run
        draws what the unbroken one drew."""
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def draws_in_training(self) -> bool:
        """Whether passes draw random numbers, as for dropout: then what is left out changes the draws for the rest."""
        model = self.actor.model.module
        if any(getattr(module, "p", 0) for module in model.modules() if "Dropout" in type(module).__name__):
            return True
        chances = [value for name, value in flatten(model.config.to_dict()) if "drop" in name or "jitter" in name]
        return any(isinstance(value, int | float) and value > 0 for value in chances)

    def train_pass(self, micro_batches: list[MicroBatch], kl_coef: float) -> dict[str, float]:
        """Train on this rank's micro-batches of one pass over a step's rollouts; returns what `run_pass` does."""
        self.weight_sync.policy_is_newer = True
        torch.cuda.empty_cache()
        self.actor.train()
        metrics = run_pass(self.trainer, micro_batches, kl_coef)
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        return metrics

    @torch.no_grad()
    def reuse_sums(self, micro_batches: list[MicroBatch]) -> np.ndarray:
        """`algorithm.reuse.reuse_sums` over this rank's micro-batches of a pass; every rank takes part in all."""
        eps_low, eps_high = self.strategy.args.actor.eps_clip_low_high
        sums = torch.zeros(3, dtype=torch.float64)
        for given in micro_batches:
            experience = given.experience
            log_probs, _ = self.forward(experience.sequences, experience.action_mask, experience.attention_mask)
            if given.share:  # else it stands in for a rank that has none
                of_rollouts = (experience.action_log_probs, experience.advantages, experience.action_mask)
                sums += reuse_sums(log_probs, *of_rollouts, eps_low, eps_high)
        return sums.numpy()

    def skip_updates(self, count: int) -> None:
        """Let the learning rate go on as if there had been so many updates more."""
        for _ in range(count):
            self.actor.model.lr_scheduler.step()

    @progress.counted
    @torch.no_grad()
    def forward(
        self, sequences: torch.Tensor, action_mask: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Old log-probs (B, A) and each sequence's mean entropy (B,) in nats, from one pass.

        Both describe the policy at the sampling temperature. Shapes: sequences and attention_mask (B, T),
        action_mask (B, A), A the number of action positions at the end.
        """
        device = torch.cuda.current_device()
        self.actor.eval()
        log_probs, output = self.actor(
            sequences.to(device),
            action_mask.to(device),
            attention_mask.to(device),
            ring_attn_group=self.strategy.ring_attn_group,
            return_output=True,
            return_entropy=True,
        )
        self.actor.train()
        entropies = output.entropy[:, -action_mask.shape[1] :].cpu()
        return log_probs.cpu(), sequence_mean_entropy(entropies, action_mask)

    @progress.counted
    @torch.no_grad()
    def score_prompts(self, sequences: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Log-probs (B, T - 1), in nats at temperature 1, of each prompt token after the first; right-padded."""
        return self._score(sequences, attention_mask, entropies=False)

    @progress.counted
    @torch.no_grad()
    def prompt_entropies(self, sequences: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Entropies (B, T - 1), in nats at temperature 1, of the policy in the place of each of those tokens."""
        return self._score(sequences, attention_mask, entropies=True)

    def _score(self, sequences: torch.Tensor, attention_mask: torch.Tensor, entropies: bool) -> torch.Tensor:
        device = torch.cuda.current_device()
        self.actor.eval()
        temperature, self.actor.temperature = self.actor.temperature, 1.0
        try:
            log_probs, output = self.actor(
                sequences.to(device),
                attention_mask=attention_mask.to(device),
                ring_attn_group=self.strategy.ring_attn_group,
                return_logprobs=True,
                return_output=True,
                return_entropy=entropies,
            )
        finally:
            self.actor.temperature = temperature
            self.actor.train()
        return (output.entropy if entropies else log_probs).float().cpu()

    def save_checkpoint(self, tag: str, client_states: dict[str, Any]) -> None:
        """Save this rank's part of the checkpoint `tag`, and with `--ckpt.save_hf` the model as a whole.

        OpenRLHF removes old checkpoints first, and DeepSpeed points to the new one as soon as rank 0 has saved: the
        control loop does both when all ranks have.
        """
        path = self.strategy.args.ckpt.path
        if not self.disable_ds_ckpt:
            folder = os.path.join(path, "_actor")
            self.actor.model.save_checkpoint(folder, tag=tag, client_state=client_states, save_latest=False)
        if self.save_hf_ckpt:
            self._save_model(os.path.join(path, f"{tag}_hf"))
        torch_dist_barrier_and_cuda_sync()

    def save_model(self) -> None:
        """Save the trained model, in Hugging Face's format, to `--ckpt.output_dir`."""
        self._save_model(self.strategy.args.ckpt.output_dir)

    def _save_model(self, folder: str) -> None:
        model = self.ema_model if self.strategy.args.train.enable_ema else self.actor
        save_model(self.strategy, model, self.tokenizer, folder)

    @torch.no_grad()
    def not_finite(self) -> str | None:
        """The name of a weight of this rank (under ZeRO-3: of its share of it) that is NaN or infinite, if there is."""
        for name, weight in self.actor.model.module.named_parameters():
            held = getattr(weight, "ds_tensor", weight)
            if not held.isfinite().all():
                return name
        return None

    def broadcast_to_vllm(self) -> None:
        """Send the current weights to the rollout engines; every rank takes part."""
        self.weight_sync.send()

    def send_weights_to(self, number: int, engine: Any) -> None:
        """Send the current weights to `engine`, which takes the place of engine `number`; every rank takes part."""
        self.weight_sync.send_to(number, engine)
