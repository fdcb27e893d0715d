"""Loads the user's datasets as prompts: rows are checked, templated, tokenized, and left out where they cannot fit.

Boundary: runs in the driver before Ray starts, so that every mistake about data and model files is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from warnings import warn

from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.rows import Table
from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.prompts.render import ChatError, training_style
from prepo_rlhf.prompts.sources import Source, load_source
from prepo_rlhf.prompts.values import (
    BadField,
    BadRows,
    BadValue,
    chat_of,
    label_of,
    question_of,
    rate_of,
    repeated,
    told_copies,
    value_of,
)


@dataclass
class PromptSet:
    """The prompts that fit the context; `num_left_out` were too long, or too short to have a perplexity.

    `places` says where a user finds each row of the data, by `Prompt.row`: "line 7".
    """

    prompts: list[Prompt] = field(default_factory=list)
    num_left_out: int = 0
    places: Sequence[str] = ()

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
    """The training prompts, or those of `--eval.dataset`. Rows that repeat a prompt are kept, and told of.

    Raises:
        ConfigError: the dataset is missing or empty, or some rows are no prompts: how many, which, and what is wrong.
    """
    source = _source(config, evaluation)
    table = load_source(source)
    if config.prepo.ppl_tokens == "question" and not tokenizer.is_fast:
        raise ConfigError(
            "--prepo.ppl_tokens question: needs a fast tokenizer, which this model's is not; use `prompt`"
        )
    read = _row_reader(config, tokenizer)
    rate_keys = None if evaluation else config.data.reference_rate_keys
    made, bad = [], BadRows()
    for number, row in enumerate(table.rows):
        try:
            made.append(_make_prompt(number, row, read, rate_keys, config, tokenizer))
        except BadField as fault:
            bad.add(table.places[number], fault)
    bad.check(len(table), str(source))
    prompts = [prompt for prompt in made if prompt is not None]
    if not prompts:
        raise ConfigError(
            f"{source.option}: none of its {len(table)} prompts fits: --data.max_len {config.data.max_len} must hold "
            f"prompt and response (--rollout.max_new_tokens {config.rollout.max_new_tokens})"
        )
    _tell_copies(prompts, table, source)
    return PromptSet(prompts, len(made) - len(prompts), table.places)


def load_rows(config: Config, *, evaluation: bool = False) -> Table:
    """The rows of `--data.prompt_dataset` or of `--eval.dataset`.

    Raises:
        ConfigError: the dataset is missing or empty.
    """
    return load_source(_source(config, evaluation))


def _source(config: Config, evaluation: bool) -> Source:
    common = {"seed": config.train.seed, "max_rows": config.data.max_samples, "use_ms": config.use_ms}
    if evaluation:
        return Source("--eval.dataset", "--eval.split", str(config.eval.dataset), config.eval.split, **common)
    data = config.data
    names = ("--data.prompt_dataset", "--data.prompt_split", data.prompt_dataset, data.prompt_split)
    return Source(*names, data.prompt_probs, **common)


def _make_prompt(
    number: int,
    row: dict[str, Any],
    read: Callable,
    rate_keys: tuple[str, str] | None,
    config: Config,
    tokenizer: Any,
) -> Prompt | None:
    """The prompt of a row; None where it leaves no room for a response, or has no token with a predecessor.

    Raises BadField if the row is no prompt."""
    question, text = read(row)
    label, rates = _label(row, config), _reference_rates(row, rate_keys)
    by_question = config.prepo.ppl_tokens == "question"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=by_question)
    token_ids = list(encoded["input_ids"])
    scored = _question_range(question, text, encoded["offset_mapping"]) if by_question else (1, len(token_ids))
    if scored[0] >= scored[1] or len(token_ids) > config.data.max_len - (config.rollout.max_new_tokens or 1):
        return None
    return Prompt(text, token_ids, scored, label, number, str(row.get("datasource") or "default"), rates)


def _label(row: dict[str, Any], config: Config) -> Any:
    key = config.data.label_key
    if key is None:
        return ""
    try:
        return label_of(value_of(row, key), for_verifier=config.reward.remote_url == "math")
    except BadValue as error:
        raise BadField(f"--data.label_key {key}", error) from error


def _reference_rates(row: dict[str, Any], keys: tuple[str, str] | None) -> tuple[float, float] | None:
    if keys is None:
        return None
    rates = []
    for key in keys:
        try:
            rates.append(rate_of(value_of(row, key)))
        except BadValue as error:
            raise BadField(f"--data.reference_rate_keys {key}", error) from error
    return rates[0], rates[1]


def _row_reader(config: Config, tokenizer: Any) -> Callable[[dict[str, Any]], tuple[str, str]]:
    """A function from a row to its question and to the text that the model reads; it raises BadField."""
    key, as_chat, style = config.data.input_key, config.data.apply_chat_template, training_style(config.data)
    take: Callable[[Any], Any] = chat_of if as_chat else question_of
    render: Callable[[Any], str] = style.chat_renderer(tokenizer) if as_chat else style.renderer(tokenizer)

    def read(row: dict[str, Any]) -> tuple[str, str]:
        try:
            asked = take(value_of(row, key))
        except BadValue as error:
            raise BadField(f"--data.input_key {key}", error) from error
        try:
            return asked[-1]["content"] if as_chat else asked, render(asked)
        except ChatError as error:
            raise BadField(style.option, BadValue(str(error))) from error

    return read


def _question_range(question: str, prompt: str, offsets: Iterable[tuple[int, int]]) -> tuple[int, int]:
    start = prompt.rfind(question.strip())
    if start < 0:
        fault = BadValue("the template changes the question's text; use `prompt`")
        raise BadField("--prepo.ppl_tokens question", fault)
    stop = start + len(question.strip())
    inside = [i for i, (left, right) in enumerate(offsets) if left < stop and right > start and i > 0]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _tell_copies(prompts: Sequence[Prompt], table: Table, source: Source) -> None:
    places = [table.places[prompt.row] for prompt in prompts]
    if pairs := repeated([prompt.text for prompt in prompts], places):
        others = sum(prompts[number].label != prompts[earlier].label for number, earlier in pairs)
        told = told_copies(pairs, len(table), "prompt", places)
        warn(f"{source}: {told}{f', {others} of them with another label' if others else ''}", stacklevel=3)
