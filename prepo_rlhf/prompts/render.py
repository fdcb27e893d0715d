"""How a question becomes the text that the model reads.

The text is complete: whoever tokenizes it adds no special tokens. The truncation is the memorisation check of PREPO
(arXiv 2511.00794).
Boundary: imports nothing heavy; tokenizers are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.prompt_templates import INSTRUCTION, PLACEHOLDER, TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STYLES = (*TEMPLATES, "chat", "file")
Chat = list[dict[str, str]]
"""Messages {"role": ..., "content": ...}."""


def text_renderer(template: str) -> Callable[[str], str]:
    """A function that puts a question in the place of `{question}`; all other braces, as in \\boxed{}, are text."""
    return lambda question: template.replace(PLACEHOLDER, question)


def chat_renderer(tokenizer: PreTrainedTokenizerBase, absent: str) -> Callable[[Chat], str]:
    """A function that puts chat messages through the tokenizer's own template, up to where the model's turn begins.

    Raises:
        ConfigError: the tokenizer has none; `absent` is the message.
    """
    if not tokenizer.chat_template:
        raise ConfigError(absent)
    return lambda chat: cast(str, tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))


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
    render = chat_renderer(
        tokenizer,
        f"--prompt chat: the tokenizer of {tokenizer.name_or_path} has no chat template; give --prompt "
        f"{', '.join(TEMPLATES)}, or --prompt file with a template of your own",
    )
    return lambda question: render([user_message(f"{question}\n{INSTRUCTION}")])


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
