"""Refuses options that can't work together, each with its name and the remedy.

Boundary: looks at the options alone; files, models and packages are checked by `trainer.preflight`, GPUs by
`cluster.places`.
Each check yields one line a problem; `check` reports all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import field_problems
from prepo_rlhf.config.engine_args import engine_args, engine_args_problems
from prepo_rlhf.config.input_template import around_question
from prepo_rlhf.config.prepo_checks import PREPO_RULES
from prepo_rlhf.config.prompt_templates import CHAT
from prepo_rlhf.config.root import Config, GivenConfig


def check(config: Config) -> Config:
    """`config` itself. Raises ConfigError listing every problem of it."""
    # The other rules divide by sizes, so they run only where every single value is valid.
    problems = [*_required(config), *field_problems(GivenConfig, config.to_dict())]
    if not problems:
        for rule in (_prompts, _stops, *PREPO_RULES, _lengths, _train_batches, _rollout_batches, _placement, _precision,
                     _engines, _engine_args, _loss, _records):  # fmt: skip
            problems.extend(rule(config))
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _required(c: Config) -> Iterator[str]:
    if not c.actor.model_name_or_path:
        yield "--actor.model_name_or_path is missing: give the model to start from, a folder or a Hugging Face name"
    if not c.data.prompt_dataset:
        yield "--data.prompt_dataset is missing: give the prompts to train on, a file or a Hugging Face name"
    if not c.reward.remote_url:
        yield (
            "--reward.remote_url is missing: give math, a Python file with reward_func(queries, prompts, labels), "
            "or an agent with --train.agent_func_path"
        )
    if c.reward.remote_url == "math" and not c.data.label_key:
        yield "--reward.remote_url math needs --data.label_key: name the column of the reference answer"


def _prompts(c: Config) -> Iterator[str]:
    template, chat = c.data.input_template, c.data.apply_chat_template
    if template and chat:
        yield (
            "--data.input_template and --data.apply_chat_template: the chat template makes the whole prompt; give only "
            "one of them"
        )
    if template:
        try:
            around_question(template)
        except ValueError as error:
            yield f"--data.input_template {template!r}: {error}"
    if c.data.chat_template_kwargs is not None and not chat and template != CHAT:
        yield "--data.chat_template_kwargs needs --data.apply_chat_template or --data.input_template chat: add one"


def _lengths(c: Config) -> Iterator[str]:
    new, longest = c.rollout.max_new_tokens, c.data.max_len
    if new is not None and longest <= new:
        yield (
            f"--data.max_len {longest} is prompt and response together and leaves no room for a prompt beside "
            f"--rollout.max_new_tokens {new}: raise the first or lower the second"
        )
    buffer = c.reward.overlong_buffer_len
    if buffer is not None and buffer > (new or longest):
        yield f"--reward.overlong_buffer_len {buffer}: is longer than the longest response, {new or longest} tokens"


def _stops(c: Config) -> Iterator[str]:
    return stop_problems("--rollout.stop", c.rollout.stop)


def stop_problems(option: str, stops: Sequence[str]) -> Iterator[str]:
    """A line for each text that can end no response."""
    for text in stops:
        if not text:
            yield f"{option} {text!r}: an empty text would end every response before it begins: remove it"
        elif any("\ud800" <= character <= "\udfff" for character in text):  # how Python keeps bytes it cannot decode
            yield f"{option} {text!r}: is no text, but bytes that are not UTF-8: give it in UTF-8"


def _data_parallel_size(c: Config) -> int | None:
    """Ranks that hold different data, or None where the GPUs can't be grouped."""
    gpus = c.actor.num_nodes * c.actor.num_gpus_per_node
    return gpus // c.ds.ring_attn_size if gpus % c.ds.ring_attn_size == 0 else None


def _train_batches(c: Config) -> Iterator[str]:
    size, micro, ranks = c.train.batch_size, c.train.micro_batch_size, _data_parallel_size(c)
    if ranks is None:
        yield (
            f"--actor.num_nodes {c.actor.num_nodes} x --actor.num_gpus_per_node {c.actor.num_gpus_per_node} GPUs are "
            f"not a multiple of --ds.ring_attn_size {c.ds.ring_attn_size}: change one of them"
        )
    elif size % ranks:
        yield f"--train.batch_size {size} doesn't divide by the {ranks} data-parallel ranks: make it a multiple"
    elif not c.train.dynamic_batch_enable and size % (ranks * micro):
        yield (
            f"--train.batch_size {size} is not a multiple of {ranks * micro}, {ranks} data-parallel ranks x "
            f"--train.micro_batch_size {micro}: change one of them"
        )


def _rollout_batches(c: Config) -> Iterator[str]:
    prompts, n, ranks = c.rollout.batch_size, c.rollout.n_samples_per_prompt, _data_parallel_size(c)
    sequences, told = prompts * n, f"--rollout.batch_size {prompts} x --rollout.n_samples_per_prompt {n}"
    if sequences % c.train.batch_size:
        yield (
            f"{told} = {sequences} sequences a step are not a multiple of --train.batch_size {c.train.batch_size}: "
            "some would never be trained on; change one of them"
        )
    micro = c.rollout.micro_batch_size
    if ranks is not None and not c.train.dynamic_batch_enable and sequences % (ranks * micro):
        yield (
            f"{told} = {sequences} sequences a step are not a multiple of {ranks * micro}, {ranks} data-parallel ranks "
            f"x --rollout.micro_batch_size {micro}: change one of them"
        )
    generate = c.rollout.vllm_generate_batch_size
    if generate != prompts:
        yield (
            f"--rollout.vllm_generate_batch_size {generate}: a step generates for the {prompts} prompts of its window "
            "(--rollout.batch_size), no more and no fewer; leave the option out"
        )


def _placement(c: Config) -> Iterator[str]:
    actor, ref = (c.actor.num_nodes, c.actor.num_gpus_per_node), (c.ref.num_nodes, c.ref.num_gpus_per_node)
    engines = c.vllm.num_engines * c.vllm.tensor_parallel_size
    if c.train.colocate_all and not c.train.async_enable and actor[0] * actor[1] != engines:
        yield (
            f"--train.colocate_all: the policy has {actor[0] * actor[1]} GPUs (--actor.num_nodes x "
            f"--actor.num_gpus_per_node) and the engines {engines} (--vllm.num_engines x --vllm.tensor_parallel_size): "
            "make them equal"
        )
    shared = "colocate_all" if c.train.colocate_all else "colocate_actor_ref" if c.train.colocate_actor_ref else None
    if shared and c.algo.kl.init_coef > 0 and actor != ref:
        yield (
            f"--train.{shared} with --algo.kl.init_coef above 0: --ref.num_nodes {ref[0]} and "
            f"--ref.num_gpus_per_node {ref[1]} must be those of the actor, {actor[0]} and {actor[1]}"
        )


def _precision(c: Config) -> Iterator[str]:
    attention = c.ds.attn_implementation
    if c.ds.tensor_parallel_size > 1:
        yield (
            f"--ds.tensor_parallel_size {c.ds.tensor_parallel_size}: engines get whole weights from one rank, which "
            "would have a part of each; remove it, and take --ds.zero_stage 3 to split the policy among GPUs"
        )
    if c.ds.param_dtype == "fp32" and "flash_attention" in attention:
        yield "--ds.param_dtype fp32: flash attention computes in 16 bits; take bf16, or --ds.attn_implementation sdpa"
    if c.ds.load_in_4bit:
        yield (
            "--ds.load_in_4bit: the engines take no weights of 4 bits, and would sample from another policy than is "
            "trained; remove it"
        )
    if c.ds.ring_attn_size > 1 and "flash" not in attention:
        yield f"--ds.ring_attn_size {c.ds.ring_attn_size}: ring attention is flash attention, in 16 bits"
    elif c.ds.packing_samples and attention != "packed_sdpa" and "flash" not in attention:
        yield f"--ds.attn_implementation {attention}: not for packed samples; take flash_attention_2 or packed_sdpa"
    if attention == "packed_sdpa" and not c.ds.packing_samples:
        yield "--ds.attn_implementation packed_sdpa: only for --ds.packing_samples; take sdpa"


def _engines(c: Config) -> Iterator[str]:
    if c.train.async_enable and c.vllm.enable_sleep:
        yield "--vllm.enable_sleep: engines never rest with --train.async_enable; remove one of them"
    if c.train.reuse_limit is not None and c.train.max_epochs == 1:
        yield "--train.reuse_limit decides on second passes over rollouts: give --train.max_epochs 2, or remove it"
    if c.train.replay_depth and c.train.max_epochs > 1:
        yield (
            f"--train.replay_depth {c.train.replay_depth} and --train.max_epochs {c.train.max_epochs}: both train on "
            "rollouts more than once, in the next steps or in the same one; remove one of them"
        )
    if c.train.partial_rollout_enable and not c.train.async_enable:
        yield "--train.partial_rollout_enable needs --train.async_enable: add it"
    if c.train.partial_rollout_enable and c.train.full_determinism_enable:
        yield (
            "--train.partial_rollout_enable changes the weights of rollouts under way, at a moment that no "
            "--train.full_determinism_enable can fix: remove one of them"
        )
    if c.train.async_enable and c.prepo.score_with == "actor":
        yield (
            "--prepo.score_with actor: with --train.async_enable the policy is being trained while prompts are scored; "
            "take rollout, the engines that generate"
        )
    if c.train.async_enable and c.prepo.needs_entropies:
        yield (
            f"--prepo.selector {c.prepo.selector}, which looks at prompts' entropies: with --train.async_enable the "
            "policy is being trained while it would compute them; remove it, or take another selector"
        )
    if c.ds.deepcompile and c.backend == "cpu":
        yield "--ds.deepcompile compiles for GPUs: with --backend cpu remove it"
    backend = c.vllm.sync_backend
    if backend == "ipc" and (not c.train.colocate_all or c.train.async_enable):
        yield "--vllm.sync_backend ipc needs policy and engines on the same GPUs, --train.colocate_all: take nccl"
    if backend in ("nccl", "ipc") and c.backend == "cpu":
        yield f"--vllm.sync_backend {backend} needs GPUs: with --backend cpu take gloo, or remove it"


def _engine_args(c: Config) -> Iterator[str]:
    given = engine_args(c.vllm.engine_args)
    yield from engine_args_problems("--vllm.engine_args", given)
    if given.get("enable_chunked_prefill") and c.backend == "cpu" and c.train.full_determinism_enable:
        yield (
            "--vllm.engine_args enable_chunked_prefill: on a CPU a request with a seed, which "
            "--train.full_determinism_enable gives it, cannot be computed in parts: remove one of them"
        )


def _loss(c: Config) -> Iterator[str]:
    low, high = c.actor.eps_clip_low_high
    if not (0 <= low <= 1 and high >= 0):
        yield f"--actor.eps_clip_low_high {low} {high}: give LOW from 0 to 1 and HIGH not below 0"
    if not c.reward.clip_range[0] < c.reward.clip_range[1]:
        yield f"--reward.clip_range {c.reward.clip_range[0]} {c.reward.clip_range[1]}: give LOW HIGH with LOW < HIGH"
    if c.ds.lora.rank > 0 and c.train.enable_ema:
        yield "--train.enable_ema averages weights that --ds.lora.rank above 0 does not train: remove one of them"
    if c.ds.lora.rank > 0 and not c.ds.lora.target_modules:
        yield "--ds.lora.target_modules is empty: name the modules, or all-linear"
    a = c.algo.advantage
    by_token_ratio = a.is_correction_level == "token" and a.is_correction_gating == "ratio"
    if a.is_correction_level == "off":
        return
    if a.is_correction_mode == "clip" and not by_token_ratio:
        yield (
            "--algo.advantage.is_correction_mode clip needs --algo.advantage.is_correction_level token and "
            "--algo.advantage.is_correction_gating ratio: take mask"
        )
    bottom, top = a.is_correction_threshold
    if not bottom < top:
        yield f"--algo.advantage.is_correction_threshold {bottom} {top}: give LOW HIGH with LOW < HIGH"
    if a.is_correction_gating != "ratio" and bottom > 0:
        yield (
            f"--algo.advantage.is_correction_threshold {bottom} {top}: "
            f"--algo.advantage.is_correction_gating {a.is_correction_gating} takes HIGH alone"
        )


def _records(c: Config) -> Iterator[str]:
    for name, steps in (("eval.steps", c.eval.steps), ("ckpt.save_steps", c.ckpt.save_steps)):
        if steps != -1 and steps < 1:
            yield f"--{name} {steps}: give a number of steps, or -1 for never"
    if c.eval.steps != -1 and not c.eval.dataset:
        yield f"--eval.steps {c.eval.steps}: give --eval.dataset, what to evaluate on, or -1 for no evaluation"
    samples = c.eval.n_samples_per_prompt
    if c.eval.temperature == 0 and samples > 1:
        yield (
            f"--eval.temperature 0 gives the same response {samples} times: add --eval.n_samples_per_prompt 1, or "
            "raise it"
        )
    if not c.logger.run_dir:
        yield "--logger.run_dir is empty: give a folder"
