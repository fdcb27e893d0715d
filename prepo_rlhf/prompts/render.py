"""How a question becomes the text that the model reads: one definition for training and for benchmarks.

The text is complete: whoever tokenizes it adds no special tokens. The truncation is the memorisation check of PREPO
(arXiv 2511.00794).
Boundary: imports nothing heavy; tokenizers are passed in.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from warnings import warn

from prepo_rlhf.config import ConfigError, from_yaml
from prepo_rlhf.config.input_template import around_question
from prepo_rlhf.config.prompt_templates import CHAT, END_TOKENS, NAMES, PLACEHOLDER, TEMPLATES
from prepo_rlhf.config.resolve import completed
from prepo_rlhf.config.training import DataOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STYLES = (*NAMES, "file", "run")
Chat = list[dict[str, Any]]
"""Messages {"role": ..., "content": ...}, both text."""
# What `apply_chat_template` takes for the template; its other parameters say what it does itself.
_FOR_TEMPLATE = {"tools", "documents"}


class ChatError(ValueError):
    """A chat that the tokenizer's template does not take: what it says."""


@dataclass(frozen=True)
class PromptStyle:
    """What stands around a question, and what ends the response to it.

    Attributes:
        option: where it comes from, for messages.
        before, after: the text around the question.
        chat: that text is the user's message in the tokenizer's own chat template.
        chat_kwargs: what else that template is given.
        end_token: what ends a turn in the template; None where it says nothing of that.
        stop: further texts that end a response.
    """

    option: str
    before: str = ""
    after: str = ""
    chat: bool = False
    chat_kwargs: Mapping[str, Any] = field(default_factory=dict)
    end_token: str | None = None
    stop: tuple[str, ...] = ()

    def renderer(self, tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
        """A function from a question to the prompt; with a chat template it raises ChatError for what that does not
        take. Raises ConfigError if the tokenizer has no chat template."""
        if not self.chat:
            return lambda question: self.before + question + self.after
        render = self.chat_renderer(tokenizer)
        return lambda question: render([user_message(self.before + question + self.after)])

    def chat_renderer(self, tokenizer: PreTrainedTokenizerBase) -> Callable[[Chat], str]:
        """A function from chat messages to the prompt, as `renderer` for those of a user's own."""
        remedy = f"give one of {', '.join(TEMPLATES)}, or a template of your own"
        if self.option == APPLY_CHAT_TEMPLATE:
            remedy = "leave the switch out and give --data.input_template, or use a model that has one"
        return chat_renderer(tokenizer, self.option, remedy, self.chat_kwargs)


APPLY_CHAT_TEMPLATE = "--data.apply_chat_template"
DATA_KWARGS = "--data.chat_template_kwargs"


def training_style(data: DataOptions) -> PromptStyle:
    """How a training job renders the questions of its data."""
    template, kwargs = data.input_template, json.loads(data.chat_template_kwargs or "{}")
    if data.apply_chat_template:
        return PromptStyle(APPLY_CHAT_TEMPLATE, chat=True, chat_kwargs=kwargs)
    if not template:
        return PromptStyle("--data.input_template")
    end_token = END_TOKENS.get(template)
    option = f"--data.input_template {template}"
    return PromptStyle(option, *around_question(template), template == CHAT, kwargs, end_token)


def benchmark_style(
    style: str, prompt_file: str | None = None, prompt_run: str | None = None, chat_kwargs: str | None = None
) -> PromptStyle:
    """How the benchmark command renders its questions.

    Args:
        style: what `--data.input_template` takes by name; `file`; or `run`, as a training run did.
        prompt_file: the template of `file`: a text with `{question}`, used to the letter, a last newline included.
        prompt_run: the folder of `run`'s records.
        chat_kwargs: what else the chat template of `chat` is given, a JSON object.
    Raises:
        ConfigError: no such style, no such file or run, or a file without `{question}`.
    """
    if style not in STYLES:
        raise ConfigError(f"--prompt {style}: give one of {', '.join(STYLES)}")
    given = (("--prompt_file", prompt_file, "file"), ("--prompt_run", prompt_run, "run"),
             ("--chat_template_kwargs", chat_kwargs, CHAT))  # fmt: skip
    for option, value, needed in given:
        if value is not None and style != needed:
            raise ConfigError(f"{option} {value}: is read with --prompt {needed} only, not with --prompt {style}")
    if style == "file":
        return PromptStyle("--prompt file", *_read_template(prompt_file))
    if style == "run":
        return _style_of_run(prompt_run)
    named = DataOptions(input_template=style, chat_template_kwargs=chat_kwargs)
    return replace(training_style(named), option=f"--prompt {style}")


def chat_renderer(
    tokenizer: PreTrainedTokenizerBase, option: str, remedy: str, kwargs: Mapping[str, Any] | None = None
) -> Callable[[Chat], str]:
    """A function that puts chat messages through the tokenizer's own template, up to where the model's turn begins.

    It raises ChatError for a chat that the template does not take, and ConfigError for a template that is broken.

    Args:
        tokenizer: the model's.
        option: what asks for its template, for messages.
        remedy: what to do where it has none.
        kwargs: what else the template is given (`--data.chat_template_kwargs`).
    Raises:
        ConfigError: the tokenizer has none, or a name of `kwargs` is not the template's to take.
    """
    owner = f"the tokenizer of {tokenizer.name_or_path}"
    if not tokenizer.chat_template:
        raise ConfigError(f"{option}: {owner} has no chat template; {remedy}")
    _check_kwargs(tokenizer, kwargs or {}, "--chat_template_kwargs" if option == "--prompt chat" else DATA_KWARGS)

    def render(chat: Chat) -> str:
        from jinja2 import TemplateSyntaxError

        try:
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **(kwargs or {}))
        except TemplateSyntaxError as error:
            raise ConfigError(f"{option}: the chat template of {owner} is broken: {error}") from error
        except Exception as error:  # the template is a program, and raises what it will
            raise ChatError(f"the chat template does not take it: {error or type(error).__name__}") from error
        for number, message in enumerate(chat, start=1):  # what the assistant thought may be left out
            if message["role"] != "assistant" and message["content"].strip() not in cast(str, text):
                raise ChatError(f"the chat template leaves out or changes message {number}, the {message['role']}'s")
        return cast(str, text)

    return render


def user_message(text: str) -> dict[str, str]:
    """One turn of the user in a chat."""
    return {"role": "user", "content": text}


def truncate_question(question: str, share: float) -> str:
    """The question without the last `share` of its whitespace-separated words, to the nearest word; one always stays.

    What remains keeps its spacing: it is a prefix of the question.

    Raises:
        ValueError: `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of words to drop must be in [0, 1), not {share}")
    ends = [word.end() for word in re.finditer(r"\S+", question)]
    dropped = min(round(len(ends) * share), len(ends) - 1)
    return question[: ends[-1 - dropped]] if dropped > 0 else question


def _check_kwargs(tokenizer: PreTrainedTokenizerBase, kwargs: Mapping[str, Any], option: str) -> None:
    own = {*inspect.signature(tokenizer.apply_chat_template).parameters, "messages"} - _FOR_TEMPLATE
    if taken := sorted(own & set(kwargs)):
        raise ConfigError(f"{option}: {', '.join(taken)} cannot be given: it is set here")
    for name in kwargs:
        if name not in str(tokenizer.chat_template):
            warn(f"{option}: the chat template has no {name}, so it does nothing", stacklevel=4)


def _style_of_run(prompt_run: str | None) -> PromptStyle:
    if prompt_run is None:
        raise ConfigError("--prompt run: name the folder of the training run's records with --prompt_run")
    try:
        run = completed(from_yaml(Path(prompt_run) / "config.yaml"))
    except ConfigError as error:
        raise ConfigError(f"--prompt_run {prompt_run}: holds no options of a training run ({error})") from error
    style = training_style(run.data)
    return replace(style, option=f"--prompt_run {prompt_run}: {style.option}", stop=tuple(run.rollout.stop))


def _read_template(prompt_file: str | None) -> tuple[str, str]:
    """What stands before and after the question."""
    if prompt_file is None:
        raise ConfigError("--prompt file: name the file of the template with --prompt_file")
    try:
        template = Path(prompt_file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--prompt_file {prompt_file}: can't be read ({error})") from error
    parts = template.split(PLACEHOLDER)
    if len(parts) != 2:
        found = f"{len(parts) - 1} times" if len(parts) > 2 else "nowhere"
        raise ConfigError(f"--prompt_file {prompt_file}: has {PLACEHOLDER} {found}; write it once, for the question")
    return parts[0], parts[1]
