"""A vLLM engine as a Ray actor: scores prompts, generates rollouts and has them rewarded.

OpenRLHF's rollout actor with five changes: prompts can be scored; a prompt's rollouts are one request (with one seed,
and in the order of their samples); an agent's requests have seeds; requests can be held back and enter in waves; and
weights come through vLLM's weight-transfer interface, and every rollout records which version generated it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from openrlhf.trainer.ray.vllm_engine import RolloutRayActor
from vllm import SamplingParams
from vllm.inputs import TokensPrompt
from vllm.sampling_params import RequestOutputKind
from vllm.utils import random_uuid

from prepo_rlhf.backends.main_module import replace_main_module
from prepo_rlhf.backends.subclassing import plain_class
from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.ray import progress, stacks
from prepo_rlhf.ray.request_waves import Ask, RequestWaves, Wave
from prepo_rlhf.ray.requests import agent_seeds, scoring_params
from prepo_rlhf.rewards.agents import Agent, AgentError
from prepo_rlhf.rewards.contract import Reward, Rollouts
from prepo_rlhf.rewards.sources import make_reward

CORE_PROCESS = "EngineCore"  # vLLM's name for it
CORE_GRACE_PERIOD = 5  # seconds for the requests under way to fail with vLLM's own error, once its core has died


@dataclass(frozen=True)
class AgentRequests:
    """What all requests of one sample of an agent share: the way to the engine, and their seeds."""

    ask: Ask | None
    seeds: Iterator[int] | None


_NO_AGENT = AgentRequests(None, None)
_AGENT_REQUESTS = ContextVar("agent_requests", default=_NO_AGENT)  # that this task is part of


def _under_way(call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A method of the engine that is counted while it runs, and as a move when it has answered."""

    @wraps(call)
    async def counting(self: RolloutEngine, *args: Any, **kwargs: Any) -> Any:
        self._calls += 1
        try:
            answer = await call(self, *args, **kwargs)
        finally:
            self._calls -= 1
        progress.moved()
        return answer

    return counting


class RolloutEngine(plain_class(RolloutRayActor)):
    """One rollout engine, of one GPU or (tensor parallel) several."""

    async def __init__(
        self,
        *args: Any,
        reward: str | None,
        math_options: MathOptions,
        reward_patience: float,
        agent_func_path: str | None,
        same_batches: bool,
        **kwargs: Any,
    ) -> None:
        """`same_batches`: whatever the timing, the same requests share a batch; costs 20 ms a wave of them, and an
        agent's turn waits for the slowest."""
        progress.tell()
        stacks.keep_ready()
        replace_main_module(CORE_PROCESS, "prepo_rlhf.ray.core_process")
        await super().__init__(*args, **kwargs)  # OpenRLHF's way to load an agent checks nothing
        self._reward: Reward | None = make_reward(reward, math_options, reward_patience) if reward else None
        self._agent = Agent(agent_func_path) if agent_func_path else None
        self._waves = RequestWaves(self.llm) if same_batches else None
        self._calls = 0  # under way
        outputs = self.llm.output_processor  # of vLLM's core: tokens, by the step
        outputs.process_outputs = progress.counted(outputs.process_outputs)
        self._syncs = 0  # of the job, before the weights that are here were those of the policy
        # Of each request under way: for every sample, the syncs before its first token and its last.
        self._syncs_seen: dict[str, list[list[int]]] = {}
        self._watch = asyncio.create_task(self._end_with_core())

    async def _end_with_core(self) -> None:
        """End this process soon after vLLM's core has died, and with it all calls to this engine.

        vLLM fails the requests under way, but a call to pause, to sleep or to load weights would never return.
        """
        while not self.llm.errored:
            await asyncio.sleep(1)
        await asyncio.sleep(CORE_GRACE_PERIOD)
        os._exit(1)

    async def check_alive(self) -> None:
        """Returns once the model is loaded. Raises vLLM's EngineDeadError if its core has died."""
        if self.llm.errored:
            raise self.llm.dead_error

    @_under_way
    async def score_prompts(self, prompts: list[list[int]]) -> list[np.ndarray]:
        """Log-probs, in nats at temperature 1, of each prompt's tokens after the first.

        Args:
            prompts: token ids; one call scores them all, in whatever batches vLLM makes of them.
        Returns:
            for each prompt an array of its length - 1.
        """
        params = scoring_params()
        size = len(prompts)

        async def score(place: int, ids: list[int]) -> np.ndarray:
            async with self._taking_part((place, size)) as ask:
                return _token_log_probs(await self._request(random_uuid(), ids, params, ask))

        return await asyncio.gather(*itertools.starmap(score, enumerate(prompts)))

    @_under_way
    async def rollout(
        self, prompt: str, prompt_token_ids: list[int], label: Any, params: SamplingParams, wave: Wave | None = None
    ) -> list[dict[str, Any]]:
        """Generate `params.n` rollouts of one prompt and reward them.

        Args:
            wave: this request's place among those sent to this engine at once, and their number; None for one of its
                own, which shares whatever batch there is.
        Returns:
            OpenRLHF's response dictionaries, in the order of vLLM's samples, with `syncs`, the number of weight syncs
            before the sample's first token and before its last.
        """
        # Token by token, while others compute: only where a text ends responses. The reward's are decoded below.
        params.detokenize = bool(params.stop)
        request_id = random_uuid()
        seen = self._syncs_seen[request_id] = [[self._syncs, self._syncs] for _ in range(params.n)]
        try:
            async with self._taking_part(wave) as ask:
                output = await self._request(request_id, prompt_token_ids, params, ask)
        finally:
            del self._syncs_seen[request_id]
        samples = sorted(output.outputs, key=lambda sample: sample.index)
        responses = [_response(prompt, prompt_token_ids, label, sample) for sample in samples]
        for response, syncs in zip(responses, seen, strict=True):
            response["syncs"] = tuple(syncs)
        if self._reward is not None:
            decode = self.llm.get_tokenizer().decode
            rollouts = Rollouts(
                prompt,
                label,
                responses=[decode(sample.token_ids, skip_special_tokens=True) for sample in samples],
                queries=[decode(r["observation_tokens"], skip_special_tokens=False) for r in responses],
            )
            rewards = await self._reward(rollouts)
            for response, reward, text in zip(responses, rewards, rollouts.responses, strict=True):
                response.update(reward, response=text)
        return responses

    @_under_way
    async def generate_responses(
        self,
        prompt: str,
        label: Any,
        params: SamplingParams,
        max_length: int,
        tokenizer: Any,
        num_samples: int,
        wave: Wave | None = None,
    ) -> list[dict[str, Any]]:
        """`num_samples` rollouts of an agent from one prompt, as `rollout` returns them.

        If `params` have a seed, each request of each rollout has one of its own.
        """
        assert self._agent is not None
        vocabulary = self.llm.model_config.get_vocab_size()
        given = {"prompt": prompt, "label": label, "max_length": max_length, "hf_tokenizer": tokenizer, "images": None}

        async def sample(index: int) -> dict[str, Any]:
            seeds = agent_seeds(params.seed, index, num_samples)
            place = None if wave is None else (wave[0] * num_samples + index, wave[1] * num_samples)
            before = self._syncs
            async with self._taking_part(place) as ask:
                _AGENT_REQUESTS.set(AgentRequests(ask, seeds))
                asked = given | {"sampling_params": params.clone(), "llm_engine": self, "label": deepcopy(label)}
                try:
                    trajectory = await self._agent.run(vocabulary, **asked)
                except AgentError as error:
                    if self.llm.errored:  # vLLM's death, not the agent's mistake
                        raise self.llm.dead_error from error
                    raise
            return trajectory | {"syncs": (before, self._syncs)}

        return await asyncio.gather(*(sample(index) for index in range(num_samples)))

    async def generate(
        self, prompt_token_ids: list[int], sampling_params: SamplingParams, multi_modal_data: None = None
    ) -> Any:
        """What an agent calls in each of its turns, with params of its own if it likes; gives vLLM's final output."""
        requests, params = _AGENT_REQUESTS.get(), sampling_params.clone()
        params.output_kind = RequestOutputKind.FINAL_ONLY
        if requests.seeds is not None:
            params.seed = next(requests.seeds)
        return await self._request(random_uuid(), prompt_token_ids, params, requests.ask)

    @asynccontextmanager
    async def _taking_part(self, wave: Wave | None) -> AsyncGenerator[Ask | None]:
        """The function that requests go through while the caller takes part in the wave; None for no waves."""
        if self._waves is None or wave is None:
            yield None
            return
        async with self._waves.taking_part(wave) as ask:
            yield ask

    async def _request(
        self, request_id: str, prompt_token_ids: list[int], params: SamplingParams, ask: Ask | None
    ) -> Any:
        prompt = TokensPrompt(prompt_token_ids=prompt_token_ids)
        if ask is not None:
            return await (await ask(request_id, prompt, params)).get()
        final = None
        async for output in self.llm.generate(prompt, params, request_id):
            final = output
        return final

    async def idle(self) -> bool:
        """Whether no rollouts or scores are under way; given once vLLM's core has answered, which a stopped one never
        does."""
        await self.llm.is_sleeping()
        return self._calls == 0

    async def init_weight_transfer_engine(self, request: Any) -> None:
        await self.llm.init_weight_transfer_engine(request)

    async def start_weight_update(self, syncs: int) -> None:
        """`syncs`: of the job so far, with the one that starts here."""
        self._count_syncs(syncs)
        await self.llm.start_weight_update()

    async def update_weights(self, request: Any) -> None:
        await self.llm.update_weights(request)

    async def finish_weight_update(self) -> None:
        await self.llm.finish_weight_update()

    def _count_syncs(self, syncs: int) -> None:
        """Called while no request is computed: the next token of those under way is from the new weights."""
        self._syncs = syncs
        for state in self.llm.output_processor.request_states.values():
            if state.external_req_id in self._syncs_seen:
                seen = self._syncs_seen[state.external_req_id][state.request_index]
                if state.detokenizer.num_output_tokens() == 0:
                    seen[0] = syncs
                seen[1] = syncs


def _token_log_probs(output: Any) -> np.ndarray:
    """The prompt's own tokens: with `prompt_logprobs=0` vLLM's flat list has one entry a token but the first."""
    log_probs = np.asarray(output.prompt_logprobs.logprobs, dtype=np.float32)
    if len(log_probs) != len(output.prompt_token_ids) - 1:
        raise RuntimeError(f"vLLM scored {len(log_probs)} of {len(output.prompt_token_ids)} prompt tokens")
    return log_probs


def _response(prompt: str, prompt_token_ids: list[int], label: Any, sample: Any) -> dict[str, Any]:
    tokens = list(sample.token_ids)
    log_probs = None
    if sample.logprobs is not None:
        log_probs = [0.0] * len(prompt_token_ids)
        log_probs += [options[token].logprob for token, options in zip(tokens, sample.logprobs, strict=True)]
    total = len(prompt_token_ids) + len(tokens)
    return {
        "prompt": prompt,
        "label": label,
        "observation_tokens": prompt_token_ids + tokens,
        "action_ranges": [(len(prompt_token_ids), total)],
        "rollout_log_probs": log_probs,
        "truncated": sample.finish_reason == "length",
        "reward": None,
        "scores": None,
        "extra_logs": {},
    }
