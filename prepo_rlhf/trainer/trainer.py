"""The control loop: select, roll out, make experience, train, sync weights, observe, measure.

Runs in the driver, and holds no model: it tells the Ray actors what to do and what to pass on.
"""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import ray
import torch
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.kl_controller import AdaptiveKLController, FixedKLController
from openrlhf.utils.deepspeed import DeepspeedStrategy
from ray.exceptions import RayError

from prepo_rlhf.algorithm.entropy_weights import weight_metrics
from prepo_rlhf.algorithm.learning_signal import training_signals
from prepo_rlhf.backends.announce import announced
from prepo_rlhf.config import Config
from prepo_rlhf.ray.faults import Faults
from prepo_rlhf.ray.gpu_turns import GpuTurns
from prepo_rlhf.ray.placement import Fleet
from prepo_rlhf.ray.policy_actor import WEIGHT_KEY
from prepo_rlhf.ray.requests import derived_seed
from prepo_rlhf.rollout.collector import RolloutBatch, RolloutCollector
from prepo_rlhf.rollout.staleness import staleness_metrics
from prepo_rlhf.rollout.sync_async import RolloutSchedule
from prepo_rlhf.selection.prompt_stream import PromptStream
from prepo_rlhf.trainer.checkpoints import CheckpointError, Checkpoints
from prepo_rlhf.trainer.evaluator import Evaluator
from prepo_rlhf.trainer.experience_maker import ENTROPY_KEY, ExperienceMaker, sequence_advantages
from prepo_rlhf.trainer.hang_watch import HangWatch
from prepo_rlhf.trainer.metrics_log import MetricsLog
from prepo_rlhf.trainer.policy_update import PolicyUpdate
from prepo_rlhf.trainer.preflight import Prepared
from prepo_rlhf.trainer.replay import Replay, informative_groups
from prepo_rlhf.trainer.restarts import Restarts
from prepo_rlhf.trainer.stop_request import StopRequest
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped


class Trainer:
    """Trains the policy until the prompt stream has no further window."""

    def __init__(
        self,
        config: Config,
        strategy: DeepspeedStrategy,
        fleet: Fleet,
        prepared: Prepared,
        stream: PromptStream,
        schedule: RolloutSchedule,
        faults: Faults,
        watch: HangWatch,
        restarts: Restarts,
    ) -> None:
        self._config = config
        self._fleet = fleet
        self._stream = stream
        self._faults = faults
        self._gpus = GpuTurns(config, fleet)
        self._collector = RolloutCollector(strategy, fleet.calls, prepared.tokenizer, self._gpus, prepared.stops)
        self._evaluate = Evaluator(config, self._collector, prepared.evaluation)
        self._replay = Replay(config.train.replay_depth)
        self._checkpoints = Checkpoints(config, fleet.policy, prepared.prompts_digest, self._replay)
        self._state = self._checkpoints.load(prepared.start.tag)
        self._between_steps = True  # the policy is what `_state` says, and so are the records
        kl = config.algo.kl
        coef = kl.init_coef if self._state.kl_coef is None else self._state.kl_coef
        self._kl = AdaptiveKLController(coef, kl.target, kl.horizon) if kl.target else FixedKLController(coef)
        # OpenRLHF's types know no job without critic, reward model and reference model.
        groups: tuple[Any, Any, Any, Any] = (fleet.policy, None, None, fleet.reference)
        self._experience_maker = ExperienceMaker(*groups, self._kl, strategy, prepared.tokenizer)
        self._update_policy = PolicyUpdate(config, fleet.policy)
        self._schedule = schedule
        self._phase: str | None = None  # of the step, under way; for messages
        self._watch = watch
        self._syncs = 0
        self._log = MetricsLog(config, stream.total_draws, self._state.step or None, restarts.metrics)

    def steps_done(self) -> int:
        """Finished steps, those before a resumption among them."""
        return self._state.step

    def fit(self) -> Signals | None:
        """Run all steps that are left, from the checkpoint's if there is one, and save the model.

        Returns:
            the signal that stopped it before its end; None at the end.

        Raises:
            TrainingStopped: something broke; PartDied if that was a process, node or server. The last step is saved if
                that is still possible.
        """
        with StopRequest() as request, closing(self._log):
            try:
                self._begin()
                stopped = self._run_steps(request)
                if stopped is None:
                    self._save_model()
                return stopped
            except TrainingStopped:
                raise
            except Exception as error:
                self._fleet.calls.replace_dead_engines(None)  # a thread that generates may still wait for one
                fault = self._faults.describe(error)
                going_on = self._save_after_fault(fault)
                where = f"step {self._state.step + 1}" + (f", {self._phase}" if self._phase else "")
                message = f"stopped in {where}: {fault}. {going_on}"
                raise self._stopped(message, error, fault, told_to=request.signal is not None) from error

    def _stopped(self, message: str, error: BaseException, fault: str, told_to: bool = False) -> TrainingStopped:
        """What to raise for an error that was described as `fault`: who was told to stop does not start again."""
        if told_to or not self._faults.part_died(error, fault):
            return TrainingStopped(message)
        return PartDied(message, self._state.step, fault)

    def _begin(self) -> None:
        if self._state.stream is not None:
            self._stream.load_state_dict(self._state.stream)
            if self._stream.exhausted:
                print(f"No step is left after step {self._state.step}: only the model is saved", flush=True)
            self._sync_weights()
        elif self._evaluate.due(0, last=False):
            with announced("Judging the model before the first step"), self._watch.during("evaluation"):
                metrics = self._evaluate(0)
            self._log.write(0, metrics)
            self._checkpoints.save_if_best(self._state, metrics)

    def _run_steps(self, request: StopRequest) -> Signals | None:
        at_end = self._stream.exhausted
        for batch in self._schedule.batches(partial(self._collector.collect, self._stream)):
            self._step(batch)
            at_end = batch.last
            if request.signal is not None and not batch.last:
                going_on = self._checkpoints.save_before_stop(self._state)
                print(f"{request.signal.name}: stopped after step {self._state.step}; {going_on}", flush=True)
                return request.signal
        if not at_end:  # there were further windows, but not enough in them for a step
            self._evaluate_last_step()
        return None

    def _evaluate_last_step(self) -> None:
        """The evaluation after the last step, where only now it is known to have been the last."""
        step = self._state.step
        if self._evaluate.due(step, last=True) and not self._evaluate.due(step, last=False):
            with self._watch.during("evaluation"):
                metrics = self._evaluate(step)
            self._log.add_to_last(step, metrics)
            with self._watch.during("saving a checkpoint"):
                self._checkpoints.save_if_best(self._state, metrics)

    def _save_model(self) -> None:
        """Save the trained model, and say where everything is."""
        output, records = Path(self._config.ckpt.output_dir).absolute(), Path(self._config.logger.run_dir).absolute()
        try:
            with self._watch.during("saving the model"):
                ray.get(self._fleet.policy.async_save_model())
        except RayError as error:
            fault = self._faults.describe(error)
            message = f"all steps are done, but --ckpt.output_dir {output}: the model could not be saved: {fault}"
            raise self._stopped(f"{message}. {self._save_after_fault(fault)}", error, fault) from error
        self._checkpoints.mark_finished(self._state)
        report = f"python -m prepo_rlhf.cli.report --runs {shlex.quote(str(records))}"
        print(f"Model: {output}\nRecords: {records}\nReport: {report}", flush=True)

    def _save_after_fault(self, fault: str) -> str:
        """Save the last whole step, which takes only the policy; returns what to tell about going on, after `fault`."""
        if self._between_steps:
            try:
                with self._watch.during("saving a checkpoint"):
                    return self._checkpoints.save_before_stop(self._state)
            except (CheckpointError, RayError) as error:
                if (reason := self._faults.describe(error)) not in fault:
                    print(f"step {self._state.step} could not be saved: {reason}", flush=True)
        return self._checkpoints.how_to_go_on()

    def _step(self, batch: RolloutBatch) -> None:
        """One training step on a batch of rollouts, and everything that follows from it."""
        metrics = batch.metrics | staleness_metrics(batch.syncs, self._syncs)
        make_experience = self._experience_maker.make_experience_batch
        experiences = self._timed(metrics, "make_experience", make_experience, batch.rollouts, batch.group_sizes)
        metrics |= self._batch_metrics(batch, experiences)
        self._between_steps = False
        metrics |= self._timed(metrics, "train", self._train, experiences, batch.group_sizes)
        self._timed(metrics, "weight_sync", self._sync_weights)
        self._stream.observe(batch.outcomes)
        self._kl.update(metrics.get("train/kl", 0.0), len(batch.rollouts))
        state = self._state
        state.step += 1
        state.rollouts += int(metrics.pop("rollout/generated"))
        state.tokens += int(metrics.pop("rollout/generated_tokens"))
        state.kl_coef = self._kl.value
        state.stream = self._stream.up_to_date(batch.stream_state)
        metrics |= {"rollout/total": state.rollouts, "rollout/total_tokens": state.tokens}
        if self._evaluate.due(state.step, last=batch.last):
            with self._watch.during("evaluation"):
                metrics |= self._evaluate(state.step)
        self._log.write_prompts(state.step, batch.outcomes)
        self._log.write(state.step, metrics)  # before any checkpoint of this step, which a resumed run goes on from
        self._between_steps = True
        with self._watch.during("saving a checkpoint"):
            self._checkpoints.save_if_best(state, metrics)
            self._checkpoints.save_if_due(state)

    def _train(self, experiences: list[Experience], group_sizes: list[int]) -> dict[str, float]:
        """Update the policy; returns its measures under train/."""
        config = self._config
        seed = derived_seed(config.train.seed, "train", self._state.step)
        groups: list[Experience] = []
        if config.train.replay_depth:  # before the update, which takes the experiences apart
            groups = informative_groups(experiences, group_sizes)
        with self._gpus.training():
            metrics = self._update_policy(experiences, seed, self._kl.value, self._replay.sequences)
        self._replay.add(groups)
        return {f"train/{name.removeprefix('actor_')}": value for name, value in metrics.items()}

    def _sync_weights(self) -> None:
        self._fleet.calls.replace_dead()
        self._gpus.prepare_for_weights()
        with self._schedule.exclusive_engines():
            ray.get(self._fleet.policy.async_run_method("broadcast_to_vllm"))
        self._syncs += 1

    def _batch_metrics(self, batch: RolloutBatch, experiences: list[Experience]) -> dict[str, float]:
        weights = torch.cat([experience.info[WEIGHT_KEY] for experience in experiences])
        entropies = torch.cat([experience.info[ENTROPY_KEY] for experience in experiences]).double()
        rewards = torch.cat([experience.info["reward"] for experience in experiences]).double()
        lengths = torch.cat([experience.action_mask.sum(-1) for experience in experiences]).double()
        truncated = torch.cat([experience.truncated for experience in experiences]).double()
        signals = training_signals([outcome.rewards for outcome in batch.outcomes])
        return signals | weight_metrics(weights, sequence_advantages(experiences)) | {
            "prepo/entropy_mean": entropies.mean().item(),
            "rollout/reward_mean": rewards.mean().item(),
            "rollout/response_length_mean": lengths.mean().item(),
            "rollout/truncated_ratio": truncated.mean().item(),
        }

    def _timed(self, metrics: dict[str, float], phase: str, function: Any, *arguments: Any) -> Any:
        start, self._phase = time.perf_counter(), phase
        with self._watch.during(phase):
            result = function(*arguments)
        metrics[f"timing/{phase}"], self._phase = time.perf_counter() - start, None
        return result
