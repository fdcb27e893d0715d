"""A second, slow reader of JSON lines: what prompts must be, written without the product's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase


def expected_prompts(
    path: Path, tokenizer: PreTrainedTokenizerBase, before: str = "", after: str = "", chat: bool = False
) -> list[tuple[str, Any, int]]:
    """Text, label and length in tokens of every row with the keys `question` and `answer`, but for texts of a single
    token, which have no perplexity."""
    found = []
    for line in path.read_bytes().decode("utf-8").replace("\ufeff", "").replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        row = json.loads(line)
        text = before + _text(row["question"]) + after
        if chat:  # what the tiny models' template says
            messages = row["question"]
            if not isinstance(messages, list) or "role" not in messages[0]:
                messages = [{"role": "user", "content": messages}]
            text = "".join(f"<|{message['role']}|>\n{_text(message['content'])}\n" for message in messages)
            text += "<|assistant|>\n"
        found.append((text, row["answer"], len(tokenizer.tokenize(text))))
    return [(text, label, length) for text, label, length in found if length > 1]


def _text(value: Any) -> str:
    return "".join(part.get("text", "") for part in value) if isinstance(value, list) else value
