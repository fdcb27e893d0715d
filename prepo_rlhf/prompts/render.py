"""How a question becomes the text that the model reads.

The text is complete: whoever tokenizes it adds no special tokens. The truncation is the memorisation check of PREPO
(arXiv 2511.00794).
Boundary: imports nothing heavy; tokenizers are passed in.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from warnings import warn

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.prompt_templates import INSTRUCTION, PLACEHOLDER, TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STYLES = (*TEMPLATES, "chat", "file")
Chat = list[dict[str, Any]]
"""Messages {"role": ..., "content": ...}, both text."""
# What `apply_chat_template` takes for the template; its other parameters say what it does itself.
_FOR_TEMPLATE = {"tools", "documents"}


class ChatError(ValueError):
    """A chat that the tokenizer's template does not take: what it says."""


def text_renderer(template: str) -> Callable[[str], str]:
    """A function that puts a question in the place of `{question}`; all other braces, as in \\boxed{}, are text."""
    return lambda question: template.replace(PLACEHOLDER, question)


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
    _check_kwargs(tokenizer, kwargs or {})

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


def benchmark_renderer(
    style: str, tokenizer: PreTrainedTokenizerBase, prompt_file: str | None = None
) -> Callable[[str], str]:
    """A function from a benchmark's question to the prompt.

    Args:
        style: a template by name; `chat`, the tokenizer's own chat template around question and instruction; or `file`.
        tokenizer: the model's.
        prompt_file: the template of `file`: a text with `{question}`, used to the letter, a last newline included.
    Raises:
        ConfigError: no such style, no such file, a file without `{question}`, or a tokenizer without chat template.
    """
    if style not in STYLES:
        raise ConfigError(f"--prompt {style}: give one of {', '.join(STYLES)}")
    if prompt_file is not None and style != "file":
        raise ConfigError(f"--prompt_file {prompt_file}: is read with --prompt file only, not with --prompt {style}")
    if style != "chat":
        return text_renderer(_read_template(prompt_file) if style == "file" else TEMPLATES[style])
    remedy = f"give --prompt {', '.join(TEMPLATES)}, or --prompt file with a template of your own"
    render = chat_renderer(tokenizer, "--prompt chat", remedy)

    def render_question(question: str) -> str:
        try:
            return render([user_message(f"{question}\n{INSTRUCTION}")])
        except ChatError as error:
            raise ConfigError(f"--prompt chat: for the question {question[:80]!r}, {error}; {remedy}") from error

    return render_question


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


def _check_kwargs(tokenizer: PreTrainedTokenizerBase, kwargs: Mapping[str, Any]) -> None:
    own = {*inspect.signature(tokenizer.apply_chat_template).parameters, "messages"} - _FOR_TEMPLATE
    if taken := sorted(own & set(kwargs)):
        raise ConfigError(f"--data.chat_template_kwargs: {', '.join(taken)} cannot be given: it is set here")
    for name in kwargs:
        if name not in str(tokenizer.chat_template):
            warn(f"--data.chat_template_kwargs: the chat template has no {name}, so it does nothing", stacklevel=4)


def _read_template(prompt_file: str | None) -> str:
    if prompt_file is None:
        raise ConfigError("--prompt file: name the file of the template with --prompt_file")
    try:
        template = Path(prompt_file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--prompt_file {prompt_file}: can't be read ({error})") from error
    if PLACEHOLDER not in template:
        raise ConfigError(f"--prompt_file {prompt_file}: has no {PLACEHOLDER}, the place of the question")
    return template
