"""Collects one step's rollouts: selected prompts go to the engines and come back as OpenRLHF's experience.

Only what the stream has selected reaches generation. Rollouts are collected in the order of submission, so the
same prompts give the same batch whichever engine is faster; which of them make up the step is for `step_groups`.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from openrlhf.utils.deepspeed import DeepspeedStrategy
from vllm import SamplingParams

from prepo_rlhf.metrics.samples import ProblemSamples, sample_of
from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.prompts.stops import Stops
from prepo_rlhf.ray.engine_calls import Ask, EngineCall, EngineCalls
from prepo_rlhf.ray.gpu_turns import GpuTurns
from prepo_rlhf.ray.request_waves import Wave
from prepo_rlhf.ray.requests import derived_seed, generation_params
from prepo_rlhf.rollout.allocation import Part, RolloutBudget, collect_within_budget
from prepo_rlhf.rollout.predicted_groups import add_prediction
from prepo_rlhf.rollout.staleness import Syncs
from prepo_rlhf.rollout.step_groups import collect_groups, keeps
from prepo_rlhf.selection.base import Candidate, PromptOutcome
from prepo_rlhf.selection.prompt_stream import PromptStream


@dataclass
class RolloutBatch:
    """What one training step is made of.

    `rollouts` holds one `Experience` a rollout, the rollouts of a prompt next to each other, and `group_sizes` how many
    each prompt has; `outcomes` the scores of every prompt that was rolled out, also of those that were dropped; `syncs`
    the number of weight syncs before the first and the last token of each of `rollouts`; `metrics` the selection's, the
    number of rollouts and tokens generated, and timings; `stream_state` the stream's after this batch, and `last`
    whether that was its last window.
    """

    rollouts: list[Experience]
    group_sizes: list[int]
    syncs: list[Syncs]
    outcomes: list[PromptOutcome]
    metrics: dict[str, float]
    stream_state: dict[str, Any]
    last: bool


class RolloutCollector(SamplesGenerator):
    """Sends prompts to the rollout engines and collects what comes back."""

    def __init__(
        self, strategy: DeepspeedStrategy, engines: EngineCalls, tokenizer: Any, gpus: GpuTurns, stops: Stops
    ) -> None:
        super().__init__(strategy, None, None, tokenizer, [])
        self._engines = engines
        self._stops = stops
        self._gpus = gpus
        self._submitted = 0

    def collect(self, stream: PromptStream) -> RolloutBatch | None:
        """Rollouts of `--rollout.batch_size` prompts; None when the stream has no further window.

        With `--prepo.allocation pilot` as many rollouts, of more prompts. With dynamic filtering, or a selector that
        drops groups, dropped prompts are replaced; a batch that stays short because the data ends is not trained on.
        """
        rollout = self.args.rollout
        generated: Counter[str] = Counter()
        reward_logs: list[dict[str, Any]] = []

        def submit(parts: list[Part]) -> list[tuple[Candidate, EngineCall]]:
            calls = self._submit([(part.candidate.prompt, self._params_of(part)) for part in parts])
            return [(part.candidate, call) for part, call in zip(parts, calls, strict=True)]

        def submit_whole(candidates: list[Candidate], draw: int) -> list[tuple[Candidate, EngineCall]]:
            return submit([Part(candidate, draw, 0, rollout.n_samples_per_prompt) for candidate in candidates])

        def receive(
            under_way: tuple[Candidate, EngineCall],
        ) -> tuple[tuple[float, ...], list[tuple[Experience, Syncs]]]:
            candidate, call = under_way
            responses = self._engines.receive(call)
            tokens = sum(stop - start for response in responses for start, stop in response["action_ranges"])
            generated.update({"rollout/generated": len(responses), "rollout/generated_tokens": tokens})
            reward_logs.extend(response["extra_logs"] for response in responses)
            group = self._experiences(responses)
            if self.args.algo.advantage.estimator == "posterior":
                add_prediction(group, candidate)
            scores = tuple(float(experience.scores) for experience in group)
            return scores, [(experience, r["syncs"]) for experience, r in zip(group, responses, strict=True)]

        keep = partial(keeps, algo=self.args.algo, drops_zero_variance=stream.selector.drops_zero_variance)
        in_rounds = self.args.train.full_determinism_enable
        self._submitted = 0  # a resumed run deals as the unbroken one did
        with self._gpus.generating():
            start = time.perf_counter()
            if self.args.prepo.allocation == "pilot":
                sizes = rollout.batch_size, rollout.n_samples_per_prompt, self.args.prepo.pilot_samples
                groups = collect_within_budget(stream, RolloutBudget(*sizes), submit, receive, in_rounds)
            else:
                groups = collect_groups(stream, rollout.batch_size, submit_whole, receive, keep, in_rounds)
        if groups is None:
            return None
        elapsed = time.perf_counter() - start
        metrics = groups.metrics | dict(generated) | _reward_metrics(reward_logs)
        metrics["timing/generation"] = elapsed - metrics["timing/score_prompts"]
        rollouts, syncs = map(list, zip(*itertools.chain.from_iterable(groups.kept), strict=True))
        sizes = [len(group) for group in groups.kept]
        return RolloutBatch(rollouts, sizes, syncs, groups.outcomes, metrics, stream.state_dict(), stream.exhausted)

    def evaluate(
        self, prompts: Sequence[Prompt], num_samples: int, temperature: float, step: int
    ) -> list[ProblemSamples]:
        """`num_samples` graded rollouts of every prompt, in their order."""
        self._submitted = 0
        with self._gpus.generating():
            purpose = f"evaluation {step}"
            calls = self._submit([(each, self._params(each, num_samples, temperature, purpose)) for each in prompts])
            return [ProblemSamples(tuple(map(sample_of, self._engines.receive(call)))) for call in calls]

    def _submit(self, requests: Sequence[tuple[Prompt, SamplingParams]]) -> list[EngineCall]:
        """Starts the prompts' rollouts, dealt out to the engines in turn."""
        engines, asks = len(self._engines), []
        for number, (prompt, params) in enumerate(requests):
            wave = number // engines, len(range(number % engines, len(requests), engines))
            engine = (self._submitted + number) % engines
            asks.append(self._rollout(engine, prompt, params, wave))
        self._submitted += len(requests)
        return self._engines.start(asks)

    def _params_of(self, part: Part) -> SamplingParams:
        temperature = self.args.rollout.temperature
        return self._params(part.candidate.prompt, part.count, temperature, f"draw {part.draw}", part.first)

    def _params(
        self, prompt: Prompt, num_samples: int, temperature: float, purpose: str, first: int = 0
    ) -> SamplingParams:
        """Of samples `first` and following: vLLM gives sample i the seed + i, so that each has its own however many
        are asked for at once."""
        train, rollout = self.args.train, self.args.rollout
        seed = derived_seed(train.seed, purpose, prompt.row) + first if train.full_determinism_enable else None
        return generation_params(
            num_samples,
            temperature,
            max_tokens=rollout.max_new_tokens or self.args.data.max_len - len(prompt.token_ids),
            top_p=rollout.top_p,
            seed=seed,
            min_tokens=1,
            log_probs=self.args.algo.advantage.is_correction_level != "off",
            stops=self._stops,
        )

    def _rollout(self, engine: int, prompt: Prompt, params: SamplingParams, wave: Wave) -> Ask:
        num_samples = params.n
        if self.args.train.agent_func_path:
            params.n = 1
            given = (prompt.text, prompt.label, params, self.args.data.max_len, self.tokenizer, num_samples, wave)
            return Ask(engine, "generate_responses", given, num_samples)
        return Ask(engine, "rollout", (prompt.text, prompt.token_ids, prompt.label, params, wave), num_samples)

    def _experiences(self, responses: list[dict[str, Any]]) -> list[Experience]:
        """A prompt's rollouts as experience; what the reward logs is for the metrics, and not sent to the policy."""
        max_len = self.args.data.max_len
        bare = [response | {"extra_logs": {}} for response in responses]
        return [self._process_response_into_experience(response, max_len=max_len) for response in bare]


def _reward_metrics(logs: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over rollouts of every number that the reward logs, under reward/ if its name has no group yet."""
    totals: dict[str, float] = {}
    for entries in logs:
        for name, value in entries.items():
            key = name if "/" in name else f"reward/{name}"
            totals[key] = totals.get(key, 0.0) + float(torch.as_tensor(value).flatten()[0])
    return {key: total / len(logs) for key, total in totals.items()}
