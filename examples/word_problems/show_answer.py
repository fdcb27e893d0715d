"""Prints what a run's model answered to one held-out problem before it was trained, and what it answers now.

    python examples/word_problems/show_answer.py runs/word_problems

The first problem of the evaluation data, the most probable tokens. Models, data and prompt are those of the run's
options.
Boundary: transformers; reads a finished run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepo_rlhf.config import GivenConfig, from_yaml
from prepo_rlhf.config.resolve import completed
from prepo_rlhf.files.rows import read_rows
from prepo_rlhf.prompts.render import training_style


@torch.no_grad()
def answer(model_name: str, question: str, config: GivenConfig) -> str:
    """The response to a question at temperature 0, as long as the job lets it be."""
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32).eval()
    prompt = training_style(config.data).renderer(tokenizer)(question)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=config.rollout.max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, help="folder of the run's records")
    config = completed(from_yaml(parser.parse_args().run_dir / "config.yaml"))
    row = read_rows(Path(config.eval.dataset))[0]
    question, label = row[config.data.input_key], row[config.data.label_key]
    print(f"\nA held-out problem: {question} ({label})")
    for when, name in (("before", config.actor.model_name_or_path), ("after ", config.ckpt.output_dir)):
        print(f"{when}: {answer(name, question, config)}")


if __name__ == "__main__":
    main()
