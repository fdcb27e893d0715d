"""A tiny model whose tokenizer has the special tokens of Qwen's and of Llama's chats, and a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tiny_models import make_tiny_model
from tiny_tasks import question_rows
from transformers import AutoTokenizer

IM_START, IM_END, EOT = "<|im_start|>", "<|im_end|>", "<|eot_id|>"
SPECIAL = [IM_START, IM_END, "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", EOT]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_chat_model(path: Path, texts: Iterable[str], chat_template: str = CHATML) -> str:
    """As a base model of Qwen: its EOS, `</s>`, is not what ends a turn of its chat template."""
    texts = [*texts, *(row["question"] for row in question_rows(200))]
    make_tiny_model(path, texts, vocab_size=500)  # of 512 that the model has
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens(SPECIAL, special_tokens=True)
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(path)
    return str(path)
