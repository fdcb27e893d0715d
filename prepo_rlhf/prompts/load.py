"""Prompts from the user's datasets: loaded, templated, tokenized, and left out where they cannot fit.

Runs in the driver before Ray starts, so that every mistake about data and model files is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.rows import lookup
from prepo_rlhf.selection.base import Candidate


@dataclass
class PromptData:
    """Prompts that fit the context, with what generation and scoring need of each.

    `token_ids[i]` are candidate i's prompt tokens; `scored[i]` is the half-open range of token positions that
    count for its perplexity (never position 0, which has no predecessor); `rows[i]` is its row in the dataset.
    `num_left_out` prompts were too long (or too short to have a perplexity).
    """

    candidates: list[Candidate] = field(default_factory=list)
    token_ids: list[list[int]] = field(default_factory=list)
    scored: list[tuple[int, int]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    num_left_out: int = 0

    def __len__(self) -> int:
        return len(self.candidates)


def load_tokenizer(config: Config) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the left as OpenRLHF's.

    Raises:
        ConfigError: there is no such model, or no chat template where one is asked for.
    """
    path = config.actor.model_name_or_path
    files = ModelFiles(path, config.actor.trust_remote_code)
    tokenizer = files.tokenizer(use_fast=not config.data.disable_fast_tokenizer)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if config.data.apply_chat_template and not tokenizer.chat_template:
        raise ConfigError(
            f"--data.apply_chat_template: the tokenizer of {path} has no chat template; leave the switch out and "
            "give --data.input_template, or use a model that has one"
        )
    return tokenizer


def load_prompts(config: Config, tokenizer: PreTrainedTokenizerBase, *, evaluation: bool = False) -> PromptData:
    """The training prompts, or those of `--eval.dataset`.

    Raises:
        ConfigError: the dataset is missing or empty, or its rows have no such keys.
    """
    option = "--eval.dataset" if evaluation else "--data.prompt_dataset"
    rows = load_rows(config, evaluation=evaluation)
    _check_keys(config, rows, option)
    read = _row_reader(config, tokenizer)
    data = PromptData()
    for number, row in enumerate(rows):
        _add(data, number, row, read, config, tokenizer)
    if not data.candidates:
        raise ConfigError(
            f"{option}: none of its {len(rows)} prompts fits: --data.max_len {config.data.max_len} must hold prompt "
            f"and response (--rollout.max_new_tokens {config.rollout.max_new_tokens})"
        )
    return data


def _add(
    data: PromptData, number: int, row: dict[str, Any], read: Callable, config: Config, tokenizer: Any
) -> None:
    question, prompt = read(row)
    encoded = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=config.prepo.ppl_tokens == "question")
    token_ids = encoded["input_ids"]
    span = (1, len(token_ids))
    if config.prepo.ppl_tokens == "question":
        span = _question_span(question, prompt, encoded["offset_mapping"])
    # A prompt without a token that has a predecessor has no perplexity.
    if span[0] >= span[1] or len(token_ids) > config.data.max_len - (config.rollout.max_new_tokens or 1):
        data.num_left_out += 1
        return
    label = "" if config.data.label_key is None else lookup(row, config.data.label_key)
    data.candidates.append(
        Candidate(
            prompt=prompt,
            label=label,
            index=len(data),
            num_tokens=len(token_ids),
            datasource=row.get("datasource") or "default",
        )
    )
    data.rows.append(number)
    data.token_ids.append(list(token_ids))
    data.scored.append(span)


def load_rows(config: Config, *, evaluation: bool = False) -> Any:
    """The rows of `--data.prompt_dataset` or of `--eval.dataset`, as a `datasets.Dataset`.

    Raises:
        ConfigError: the dataset is missing or empty.
    """
    from openrlhf.datasets.utils import blending_datasets

    option = "--eval.dataset" if evaluation else "--data.prompt_dataset"
    names = config.eval.dataset if evaluation else config.data.prompt_dataset
    quiet = SimpleNamespace(print=lambda *_: None, is_rank_0=lambda: False, args=config)
    try:
        rows = blending_datasets(
            names,
            None if evaluation else config.data.prompt_probs,
            quiet,
            config.train.seed,
            max_count=config.data.max_samples,
            dataset_split=config.eval.split if evaluation else config.data.prompt_split,
        )
    except Exception as error:  # whatever `datasets` raises for a path, a format or a split
        raise ConfigError(f"{option} {names}: cannot be loaded ({type(error).__name__}: {error})") from error
    if len(rows) == 0:
        raise ConfigError(f"{option} {names}: the dataset is empty")
    return rows.select(range(min(config.data.max_samples, len(rows))))


def _check_keys(config: Config, rows: Any, option: str) -> None:
    for key_option, key in (("--data.input_key", config.data.input_key), ("--data.label_key", config.data.label_key)):
        try:
            if key is not None:
                lookup(rows[0], key)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{key_option} {key}: the rows of {option} have no such key, but {', '.join(rows.column_names)}"
            ) from error


def _row_reader(config: Config, tokenizer: Any) -> Callable[[dict[str, Any]], tuple[str, str]]:
    """A function from a row to its question and to the prompt that the model reads."""
    key, template = config.data.input_key, config.data.input_template

    def read_chat(row: dict[str, Any]) -> tuple[str, str]:
        value = lookup(row, key)
        chat = [{"role": "user", "content": value}] if isinstance(value, str) else value
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return chat[-1]["content"], prompt

    def read_text(row: dict[str, Any]) -> tuple[str, str]:
        question = lookup(row, key)
        if not isinstance(question, str):
            raise ConfigError(
                f"--data.input_key {key}: holds {type(question).__name__}, not text; for chat messages give "
                "--data.apply_chat_template"
            )
        return question, template.format(question) if template else question

    return read_chat if config.data.apply_chat_template else read_text


def _question_span(question: str, prompt: str, offsets: Iterable[tuple[int, int]]) -> tuple[int, int]:
    start = prompt.rfind(question.strip())
    if start < 0:
        raise ConfigError("--prepo.ppl_tokens question: the template changes the question's text; use `prompt`")
    stop = start + len(question.strip())
    inside = [i for i, (left, right) in enumerate(offsets) if left < stop and right > start and i > 0]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
