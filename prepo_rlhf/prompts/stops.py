"""What ends a response, found once for a model and its prompts: EOS tokens, the end of a turn, the user's own texts.

vLLM alone would stop at the EOS tokens only, so that a base model that reads a chat template runs on to the length
limit: its EOS is the end of a document, not that of a turn.
Boundary: runs before Ray; the model's files have been checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.model_limits import vocabulary_size
from prepo_rlhf.prompts.render import PromptStyle, user_message


@dataclass(frozen=True)
class Stops:
    """A response ends with a token of `token_ids`, or with the token that completes one of `texts`, and keeps it."""

    token_ids: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()

    def described(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """For people: `</s> (2), 'Question:'`."""
        tokens = [f"{tokenizer.convert_ids_to_tokens(number)} ({number})" for number in self.token_ids]
        return ", ".join([*tokens, *map(repr, self.texts)]) or "the length limit alone"


EOS_ALONE = Stops()
"""Nothing but what vLLM stops at by itself."""


def find_stops(
    style: PromptStyle,
    given: Sequence[str],
    option: str,
    tokenizer: PreTrainedTokenizerBase,
    files: ModelFiles,
    model: PreTrainedModel,
) -> Stops:
    """All that ends a response to a prompt of this style.

    A text that is one of the tokens added to the vocabulary, as all special ones are, becomes that token; any other is
    looked for in the response's text, since the tokens that it is made of also stand elsewhere (a line break in ".\n").

    Args:
        given: the user's texts, of `option`; none is empty.
        model: what `files.check` has found.
    Raises:
        ConfigError: an EOS token, or one of `given`, is none of the model's vocabulary.
    """
    added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items()}
    numbers = {}
    if tokenizer.eos_token_id is not None:
        numbers[tokenizer.eos_token_id] = f"{tokenizer.eos_token}, the tokenizer's EOS"
    for number in _listed_eos(model):
        numbers.setdefault(number, "an eos_token_id in its configuration")
    end = style.end_token or (_end_of_turn(tokenizer, added) if style.chat else None)
    if end in added:
        numbers.setdefault(added[end], f"{end}, with which {style.option} ends a turn")
    elif end is not None:
        warn(
            f"{style.option}: ends a turn with {end}, which is no token of {files.name}, so that no response ends with "
            "it: take the template of the model's own family",
            stacklevel=2,
        )
    texts = []
    for text in dict.fromkeys((*style.stop, *given)):
        if text in added:
            numbers.setdefault(added[text], f"{option} {text}")
        else:
            texts.append(text)
            _warn_of_misprints(text, option, files.name)
    _check_vocabulary(numbers, files, model.config)
    return Stops(tuple(numbers), tuple(texts))


def _listed_eos(model: PreTrainedModel) -> list[int]:
    """The EOS tokens of generation_config.json, or without such a file of config.json, which vLLM takes as well."""
    listed: Any = model.generation_config.eos_token_id if model.generation_config else model.config.eos_token_id
    return listed if isinstance(listed, list) else [] if listed is None else [listed]


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, added: dict[str, int]) -> str | None:
    """The token that the chat template puts after what the assistant says, if there is one."""
    answer = "Forty-two."
    try:
        chat = [user_message("What is it?"), {"role": "assistant", "content": answer}]
        text = str(tokenizer.apply_chat_template(chat, tokenize=False))
    except Exception:  # a template may raise whatever it likes about a chat, and need not know one that goes on
        return None
    _, found, after = text.rpartition(answer)
    return max((token for token in added if found and after.lstrip().startswith(token)), key=len, default=None)


def _warn_of_misprints(text: str, option: str, model: str) -> None:
    if text.startswith("<|") and text.endswith("|>"):
        warn(f"{option} {text}: looks like a special token, and is none of {model}'s: is it misspelt?", stacklevel=3)
    if "\\n" in text:
        warn(f"{option} {text}: holds a backslash and an n, no line break: in bash, write $'a\\nb'", stacklevel=3)


def _check_vocabulary(numbers: dict[int, str], files: ModelFiles, config: PretrainedConfig) -> None:
    size = vocabulary_size(config)
    for number, source in numbers.items():
        if number < 0 or size is not None and number >= size:
            known = "0 on" if size is None else f"0 to {size - 1}"
            raise ConfigError(
                f"{files.option} {files.name}: its tokens are {known}, and {number} is none of them, which is "
                f"{source}: correct that, or resize the model's embeddings"
            )
