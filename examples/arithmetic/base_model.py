"""Trains a base model of the arithmetic task from scratch, on a CPU core in a few minutes.

    python examples/arithmetic/base_model.py --kind mid --output_dir ./arithmetic_mid --seed 0

`mid` solves about 0.40 of uniformly drawn problems, `weak` about 0.25. Training stops at the first evaluation past
the kind's target, so that a checkpoint is chosen by what it can do; the same seed and number of threads give the same
model.
Boundary: torch, transformers, `problems`, `tokenizer` and `reward`.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from problems import MAX_STEPS, Corpus, Problem, sample_corpus, sample_problems
from reward import reward_func
from tokenizer import EOS, build_tokenizer
from tqdm import tqdm
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BATCH_SIZE = 32
SORTED_BATCHES = 50
MAX_ANSWER_TOKENS = 56
BAND_GROUP = 2


@dataclass(frozen=True)
class Recipe:
    """What makes a kind of base model: its corpus, its training, and the pass rate to stop at."""

    corpus: Corpus
    target: float
    max_steps: int = 4400
    learning_rate: float = 2e-3
    evaluate_from: int = 1000
    evaluate_every: int = 100


RECIPES = {
    "mid": Recipe(Corpus(step_ratio=0.7), target=0.40),
    # Easy problems nearly solved, hard ones not at all, so that most groups have equal rewards. Answers are hardly
    # sloppy: a sloppy base improves on all problems at once, and leaves a selector nothing to choose.
    "weak": Recipe(Corpus(direct=0.03, slip=0.01, slip_per_band=0.01), target=0.25),
}


def build_model(vocab_size: int) -> LlamaForCausalLM:
    """A four-layer Llama of 0.7M parameters; heads of size 32, which vLLM's CPU attention supports."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def batches(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Iterator[torch.Tensor]:
    """Endless batches of token ids (BATCH_SIZE, longest), padded on the right; a batch's texts are about as long."""
    while True:
        texts = ["".join(sample_corpus(corpus, rng)) + EOS for _ in range(BATCH_SIZE * SORTED_BATCHES)]
        rows = sorted(tokenizer(texts, add_special_tokens=False)["input_ids"], key=len)
        starts = list(range(0, len(rows), BATCH_SIZE))
        rng.shuffle(starts)
        for start in starts:
            rows_of_batch = [torch.tensor(row) for row in rows[start : start + BATCH_SIZE]]
            yield torch.nn.utils.rnn.pad_sequence(rows_of_batch, True, tokenizer.pad_token_id)


@torch.no_grad()
def sample_rewards(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]) -> list[float]:
    """The reward of one sample at temperature 1 for each problem."""
    prompts = [problem.prompt for problem in problems]
    inputs = tokenizer(prompts, padding=True, add_special_tokens=False, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    output = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=MAX_ANSWER_TOKENS)
    queries = tokenizer.batch_decode(output, skip_special_tokens=False)
    return reward_func(queries, prompts, [problem.label for problem in problems])["rewards"].tolist()


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A model trained until its pass rate on 480 problems reaches the recipe's target, or for its number of steps."""
    torch.manual_seed(seed)
    model = build_model(len(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 1 - 0.9 * step / recipe.max_steps)
    )
    problems = sample_problems(480, random.Random(f"validation-{seed}"))
    stream = batches(recipe.corpus, tokenizer, random.Random(f"corpus-{seed}"))
    progress = tqdm(itertools.islice(stream, recipe.max_steps), total=recipe.max_steps, desc="base model")
    for step, ids in enumerate(progress, start=1):
        labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        optimizer.zero_grad()
        if step >= recipe.evaluate_from and step % recipe.evaluate_every == 0:
            rewards = sample_rewards(model, tokenizer, problems)
            pass_rate = sum(rewards) / len(rewards)
            progress.set_postfix(loss=f"{loss.item():.3f}", pass_rate=f"{pass_rate:.3f}")
            if pass_rate >= recipe.target:
                break
    progress.close()
    return model


def report(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, samples: int = 8) -> str:
    """A table of pass rates over 432 fresh problems, `samples` a problem: rows are steps, columns pairs of bands."""
    problems = sample_problems(432, random.Random(f"report-{seed}")) * samples
    rewards = sample_rewards(model, tokenizer, problems)
    cells: dict[tuple[str, str], list[float]] = {}
    for problem, reward in zip(problems, rewards, strict=True):
        first = problem.band // BAND_GROUP * BAND_GROUP
        for row, column in itertools.product((str(problem.steps), "all"), (f"{first}-{first + BAND_GROUP - 1}", "all")):
            cells.setdefault((row, column), []).append(reward)
    columns = [f"{first}-{first + BAND_GROUP - 1}" for first in range(0, 12, BAND_GROUP)] + ["all"]
    lines = ["| steps | " + " | ".join(f"bands {c}" for c in columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for row in [*map(str, range(1, MAX_STEPS + 1)), "all"]:
        rates = [f"{sum(cells[row, column]) / len(cells[row, column]):.2f}" for column in columns]
        lines.append(f"| {row} | " + " | ".join(rates) + " |")
    groups = [rewards[i :: len(problems) // samples] for i in range(len(problems) // samples)]
    zero_variance = sum(len(set(group)) == 1 for group in groups) / len(groups)
    return "\n".join([*lines, "", f"Groups of {samples} with equal rewards: {zero_variance:.2f}"])


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Writes bf16 safetensors, the tokenizer and the generation settings to the folder `path`."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
    )
    model.to(torch.bfloat16).save_pretrained(path)
    tokenizer.save_pretrained(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(RECIPES), required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = build_tokenizer()
    model = train(RECIPES[args.kind], tokenizer, args.seed)
    save(model, tokenizer, args.output_dir)
    print(report(model.float(), tokenizer, args.seed))
    print(f"saved to {args.output_dir}")


if __name__ == "__main__":
    main()
