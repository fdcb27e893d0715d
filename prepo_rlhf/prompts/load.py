"""Loads the user's datasets as prompts: rows are read, templated, tokenized, and left out where they cannot fit.

Boundary: runs in the driver before Ray starts, so that every mistake about data and model files is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.config.prompt_templates import PLACEHOLDER
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.rows import lookup
from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.prompts.render import chat_renderer, text_renderer, user_message


@dataclass
class PromptSet:
    """The prompts that fit the context; `num_left_out` were too long, or too short to have a perplexity."""

    prompts: list[Prompt] = field(default_factory=list)
    num_left_out: int = 0

    def __len__(self) -> int:
        return len(self.prompts)


def load_tokenizer(config: Config) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the left as OpenRLHF's.

    Raises:
        ConfigError: there is no such model.
    """
    path = config.actor.model_name_or_path
    files = ModelFiles(path, config.actor.trust_remote_code)
    tokenizer = files.tokenizer(use_fast=not config.data.disable_fast_tokenizer)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_prompts(config: Config, tokenizer: PreTrainedTokenizerBase, *, evaluation: bool = False) -> PromptSet:
    """The training prompts, or those of `--eval.dataset`.

    Raises:
        ConfigError: the dataset is missing or empty, or its rows have no such keys.
    """
    option = "--eval.dataset" if evaluation else "--data.prompt_dataset"
    rows = load_rows(config, evaluation=evaluation)
    _check_keys(config, rows, option)
    read = _row_reader(config, tokenizer)
    made = [_make_prompt(number, row, read, config, tokenizer) for number, row in enumerate(rows)]
    prompts = [prompt for prompt in made if prompt is not None]
    if not prompts:
        raise ConfigError(
            f"{option}: none of its {len(rows)} prompts fits: --data.max_len {config.data.max_len} must hold prompt "
            f"and response (--rollout.max_new_tokens {config.rollout.max_new_tokens})"
        )
    return PromptSet(prompts, num_left_out=len(made) - len(prompts))


def _make_prompt(number: int, row: dict[str, Any], read: Callable, config: Config, tokenizer: Any) -> Prompt | None:
    """The prompt of a row; None where it leaves no room for a response, or has no token with a predecessor."""
    question, text = read(row)
    by_question = config.prepo.ppl_tokens == "question"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=by_question)
    token_ids = list(encoded["input_ids"])
    scored = _question_range(question, text, encoded["offset_mapping"]) if by_question else (1, len(token_ids))
    if scored[0] >= scored[1] or len(token_ids) > config.data.max_len - (config.rollout.max_new_tokens or 1):
        return None
    label = "" if config.data.label_key is None else lookup(row, config.data.label_key)
    return Prompt(text, token_ids, scored, label, number, row.get("datasource") or "default")


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
    """A function from a row to its question and to the text that the model reads."""
    key, template = config.data.input_key, config.data.input_template
    if not config.data.apply_chat_template:
        # OpenRLHF's templates are for str.format: {} is the question's place, and doubled braces are braces.
        render_text = text_renderer(template.format(PLACEHOLDER) if template else PLACEHOLDER)

        def read_text(row: dict[str, Any]) -> tuple[str, str]:
            question = lookup(row, key)
            if not isinstance(question, str):
                raise ConfigError(
                    f"--data.input_key {key}: holds {type(question).__name__}, not text; for chat messages give "
                    "--data.apply_chat_template"
                )
            return question, render_text(question)

        return read_text

    render_chat = chat_renderer(
        tokenizer,
        f"--data.apply_chat_template: the tokenizer of {config.actor.model_name_or_path} has no chat template; leave "
        "the switch out and give --data.input_template, or use a model that has one",
    )

    def read_chat(row: dict[str, Any]) -> tuple[str, str]:
        value = lookup(row, key)
        chat = [user_message(value)] if isinstance(value, str) else value
        return chat[-1]["content"], render_chat(chat)

    return read_chat


def _question_range(question: str, prompt: str, offsets: Iterable[tuple[int, int]]) -> tuple[int, int]:
    start = prompt.rfind(question.strip())
    if start < 0:
        raise ConfigError("--prepo.ppl_tokens question: the template changes the question's text; use `prompt`")
    stop = start + len(question.strip())
    inside = [i for i, (left, right) in enumerate(offsets) if left < stop and right > start and i > 0]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
