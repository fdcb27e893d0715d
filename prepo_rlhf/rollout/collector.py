"""One step's rollouts: prompts from the stream, to the engines, back as OpenRLHF's experience.

Only what the stream has selected reaches generation. Rollouts are collected in the order of submission, so the
same prompts give the same batch whichever engine is faster; which of them make up the step is for `step_groups`.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
import torch
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from openrlhf.trainer.ray.vllm_engine import batch_vllm_engine_call
from openrlhf.utils.deepspeed import DeepspeedStrategy
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from prepo_rlhf.metrics.samples import ProblemSamples, sample_of
from prepo_rlhf.prompts.load import PromptData
from prepo_rlhf.ray.request_waves import Wave
from prepo_rlhf.rollout.staleness import Syncs
from prepo_rlhf.rollout.step_groups import collect_groups, keeps
from prepo_rlhf.selection.base import Candidate, PromptOutcome
from prepo_rlhf.selection.prompt_stream import PromptStream


@dataclass
class RolloutBatch:
    """What one training step is made of.

    `rollouts` holds one `Experience` a rollout, the rollouts of a prompt next to each other; `outcomes` the scores
    of every prompt that was rolled out, also of those that were dropped; `syncs` the number of weight syncs before the
    first and the last token of each of `rollouts`; `metrics` the selection's, the number of rollouts and tokens
    generated, and timings; `stream_state` the stream's after this batch, and `last` whether that was its last window.
    """

    rollouts: list[Experience]
    syncs: list[Syncs]
    outcomes: list[PromptOutcome]
    metrics: dict[str, float]
    stream_state: dict[str, Any]
    last: bool


class RolloutCollector(SamplesGenerator):
    """Sends prompts to the rollout engines and collects what comes back."""

    def __init__(self, strategy: DeepspeedStrategy, engines: Sequence[Any], tokenizer: Any) -> None:
        super().__init__(strategy, None, None, tokenizer, list(engines))
        self._submitted = 0

    def collect(self, stream: PromptStream, data: PromptData) -> RolloutBatch | None:
        """Rollouts of `--rollout.batch_size` prompts; None when the stream has no further window.

        With dynamic filtering, or a selector that drops groups, dropped prompts are replaced; a batch that stays
        short because the data ends is not trained on.
        """
        self._engines("wake_up")
        self._submitted = 0  # a resumed run deals as the unbroken one did
        start, rollout = time.perf_counter(), self.args.rollout
        params = self._sampling_params(rollout.n_samples_per_prompt, rollout.temperature)
        generated: dict[str, float] = {}
        reward_logs: list[dict[str, Any]] = []

        def submit(candidates: list[Candidate], draw: int) -> list[ray.ObjectRef]:
            return self._submit(candidates, data, params, f"draw {draw}")

        def receive(call: ray.ObjectRef) -> tuple[tuple[float, ...], list[tuple[Experience, Syncs]]]:
            responses = ray.get(call)
            _count(generated, responses)
            reward_logs.extend(response["extra_logs"] for response in responses)
            group = self._experiences(responses)
            scores = tuple(float(experience.scores) for experience in group)
            return scores, [(experience, r["syncs"]) for experience, r in zip(group, responses, strict=True)]

        keep = partial(keeps, algo=self.args.algo, drops_zero_variance=stream.selector.drops_zero_variance)
        in_rounds = self.args.train.full_determinism_enable
        groups = collect_groups(stream, rollout.batch_size, submit, receive, keep, in_rounds)
        if groups is None:
            return None
        self._engines("sleep")
        elapsed = time.perf_counter() - start
        metrics = groups.metrics | generated | _reward_metrics(reward_logs)
        metrics["timing/generation"] = elapsed - metrics["timing/score_prompts"]
        rollouts, syncs = map(list, zip(*itertools.chain.from_iterable(groups.kept), strict=True))
        return RolloutBatch(rollouts, syncs, groups.outcomes, metrics, stream.state_dict(), stream.exhausted)

    def evaluate(self, data: PromptData, num_samples: int, temperature: float, step: int) -> list[ProblemSamples]:
        """`num_samples` graded rollouts of every prompt of `data`, in its order."""
        self._engines("wake_up")
        self._submitted = 0
        params = self._sampling_params(num_samples, temperature)
        calls = self._submit(data.candidates, data, params, f"evaluation {step}")
        problems = [ProblemSamples(tuple(map(sample_of, ray.get(call)))) for call in calls]
        self._engines("sleep")
        return problems

    def _sampling_params(self, num_samples: int, temperature: float) -> SamplingParams:
        return SamplingParams(
            n=num_samples,
            temperature=temperature,
            top_p=self.args.rollout.top_p,
            min_tokens=1,
            skip_special_tokens=False,
            logprobs=1 if self.args.algo.advantage.is_correction_level != "off" else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _submit(
        self, candidates: Sequence[Candidate], data: PromptData, params: SamplingParams, purpose: str
    ) -> list[ray.ObjectRef]:
        """Starts the candidates' rollouts, dealt out to the engines in turn."""
        engines, calls = len(self.vllm_engines), []
        for number, candidate in enumerate(candidates):
            wave = number // engines, len(range(number % engines, len(candidates), engines))
            engine = self.vllm_engines[(self._submitted + number) % engines]
            calls.append(self._rollout(engine, candidate, data, params, purpose, wave))
        self._submitted += len(candidates)
        return calls

    def _rollout(
        self, engine: Any, candidate: Candidate, data: PromptData, params: SamplingParams, purpose: str, wave: Wave
    ) -> ray.ObjectRef:
        token_ids = data.token_ids[candidate.index]
        params = params.clone()
        params.max_tokens = self.args.rollout.max_new_tokens or self.args.data.max_len - len(token_ids)
        if self.args.train.full_determinism_enable:
            params.seed = random.Random(f"{self.args.train.seed} {purpose} {candidate.index}").getrandbits(31)
        if self.args.train.agent_func_path:
            num_samples, params.n = params.n, 1
            return engine.generate_responses.remote(
                candidate.prompt, candidate.label, params, self.args.data.max_len, self.tokenizer, num_samples, wave
            )
        return engine.rollout.remote(candidate.prompt, token_ids, candidate.label, params, wave)

    def _experiences(self, responses: list[dict[str, Any]]) -> list[Experience]:
        """A prompt's rollouts as experience; what the reward logs is for the metrics, and not sent to the policy."""
        max_len = self.args.data.max_len
        bare = [response | {"extra_logs": {}} for response in responses]
        return [self._process_response_into_experience(response, max_len=max_len) for response in bare]

    def _engines(self, method: str) -> None:
        if self.args.vllm.enable_sleep:
            batch_vllm_engine_call(self.vllm_engines, method)


def _count(metrics: dict[str, float], responses: list[dict[str, Any]]) -> None:
    tokens = sum(stop - start for response in responses for start, stop in response["action_ranges"])
    metrics["rollout/generated"] = metrics.get("rollout/generated", 0) + len(responses)
    metrics["rollout/generated_tokens"] = metrics.get("rollout/generated_tokens", 0) + tokens


def _reward_metrics(logs: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over rollouts of every number that the reward logs, under reward/ if its name has no group yet."""
    totals: dict[str, float] = {}
    for entries in logs:
        for name, value in entries.items():
            key = name if "/" in name else f"reward/{name}"
            totals[key] = totals.get(key, 0.0) + float(torch.as_tensor(value).flatten()[0])
    return {key: total / len(logs) for key, total in totals.items()}
