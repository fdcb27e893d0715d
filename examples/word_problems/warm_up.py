"""Teaches a model the form of an answer, from a few hundred problems once, so that rewards are not all 0.

    python examples/word_problems/warm_up.py --model ./smollm2 --problems ./data/warm_up.jsonl --output_dir ./warm

One pass of supervised training; the prompt is the one of the job that follows (--config). A model that was made of the
same is left as it is: what it was made of is in its warm_up.json. Seed and number of threads determine the model.
Boundary: torch, transformers, and the job's prompt from `prepo_rlhf`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from prepo_rlhf.config import from_yaml
from prepo_rlhf.config.resolve import completed
from prepo_rlhf.files.hub import out_of_reach
from prepo_rlhf.files.rows import read_rows
from prepo_rlhf.prompts.render import training_style

RECIPE = Path(__file__).parents[1] / "recipes" / "prepo_words_cpu.yaml"
MADE_OF = "warm_up.json"  # written last: a folder without it is not whole
NO_LOSS = -100  # cross_entropy's label for what does not count


@dataclass(frozen=True)
class Options:
    """How the warm-up trains; the learning rate is AdamW's, and constant."""

    seed: int = 42
    batch_size: int = 16
    learning_rate: float = 5e-5


def tokens_of(prompt: str, response: str, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids of prompt, response and end token, and the labels, which are NO_LOSS for the prompt. Both texts are
    tokenized apart, as a response that is sampled begins with a token of its own."""
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = [*tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return before + after, [NO_LOSS] * len(before) + after


def padded(rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    """A batch for the model: input_ids, attention_mask and labels, each (rows, longest), padded on the right."""
    longest = max(len(ids) for ids, _ in rows)
    fill = [longest - len(ids) for ids, _ in rows]
    return {
        "input_ids": torch.tensor([ids + [0] * n for (ids, _), n in zip(rows, fill, strict=True)]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * n for (ids, _), n in zip(rows, fill, strict=True)]),
        "labels": torch.tensor([labels + [NO_LOSS] * n for (_, labels), n in zip(rows, fill, strict=True)]),
    }


def train(model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], options: Options) -> list[float]:
    """One pass over the rows in a random order; returns each batch's loss, in nats a token of the answers."""
    order = list(rows)
    random.Random(options.seed).shuffle(order)
    torch.manual_seed(options.seed)  # for models with dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    model.train()
    losses = []
    progress = tqdm(range(0, len(order), options.batch_size), desc="warm-up", unit="batch")
    for start in progress:
        loss = model(**padded(order[start : start + options.batch_size]), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def made_of(model: str, problems: Path, template: str | None, options: Options) -> dict[str, Any]:
    """What a warm model depends on: a folder by its files' contents, a model of the hub by its name."""
    folder = Path(model)
    files = sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]) if folder.is_dir() else []
    base = {path.name: _digest(path) for path in files} or model
    return {"model": base, "problems": _digest(problems), "template": template, **asdict(options)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_made(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the folder's model is whole and made of what is wanted."""
    path = folder / MADE_OF
    return path.is_file() and json.loads(path.read_text()) == wanted


def warm_up(model_name: str, problems: Path, config_file: Path, folder: Path, options: Options) -> bool:
    """Make the warm model in `folder`; False if it is there already."""
    data = completed(from_yaml(config_file)).data
    wanted = made_of(model_name, problems, data.input_template, options)
    if is_made(folder, wanted):
        return False
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32)
    render = training_style(data).renderer(tokenizer)
    rows = [tokens_of(render(row["prompt"]), row["response"], tokenizer) for row in read_rows(problems)]
    train(model, rows, options)
    (folder / MADE_OF).unlink(missing_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / MADE_OF).write_text(json.dumps(wanted, indent=2) + "\n")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder, or name on the hub")
    parser.add_argument("--problems", type=Path, required=True, help="warm_up.jsonl of problems.py")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=RECIPE, help="options of the job, for its prompt template")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if not Path(args.model).is_dir() and (reason := out_of_reach(args.model, "config.json")):
        print(f"warm_up.py: --model {args.model} is no folder, and {reason}: give a folder", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    is_new = warm_up(args.model, args.problems, args.config, args.output_dir, Options(seed=args.seed))
    print(f"warm-up: {'saved to' if is_new else 'kept as it was in'} {args.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
