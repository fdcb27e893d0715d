"""The tokenizer of the arithmetic task: a token for each word of a prompt, a token for each character of an answer.

Spaces belong to the words beside them (` apples`, ` gains `), so that decoding restores the text exactly. There is no
BOS token in the text: a prompt's first token is its start value.
Boundary: knows the words of `problems` and the `tokenizers` library.
"""

from __future__ import annotations

from problems import BANDS, MARKERS, SEPARATORS
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast Hugging Face tokenizer whose vocabulary size is a multiple of 64; it pads on the left."""
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(_vocabulary())}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" \([a-f]\)| ?[a-z]+(?: (?=[0-9]))?|."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )


def _vocabulary() -> list[str]:
    tokens = [PAD, BOS, EOS, UNK, *"0123456789+-*=#:", *MARKERS, *SEPARATORS]
    for wording in BANDS:
        tokens += [f" {noun}" for noun in wording.nouns]
        tokens += [f" {verb} " for verb in (*wording.add, *wording.subtract)]
        tokens += [f" {verb}" for verb in (*wording.double, *wording.triple)]
    # Every id a model can sample has a text, so that no decoder meets an unknown id.
    return tokens + [f"<unused{i}>" for i in range(-len(tokens) % 64)]
