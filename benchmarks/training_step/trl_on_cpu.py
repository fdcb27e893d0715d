"""TRL's GRPOTrainer on the job that the others do: `compare_trl.py` starts it, in a process of its own.

Its own generation (Transformers), float32, a thread a core, no KL term, group-normalised rewards, two updates a step.
Written for trl 1.16.0.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from datasets import load_dataset
from jobs import MICRO_BATCHES, OURS, ROLLOUTS
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

UPDATES = 2  # a step


class Clock(TrainerCallback):
    """The time after each update."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


def make_reward(path: Path) -> Any:
    """The reward of that file in TRL's interface."""
    spec = importlib.util.spec_from_file_location("reward", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def reward(prompts: list[str], completions: list[str], label: list[str], **_: Any) -> list[float]:
        queries = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        return module.reward_func(queries, prompts, label)["rewards"].tolist()

    return reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reward", type=Path, required=True, help="file with OpenRLHF's reward_func")
    parser.add_argument("--data", type=Path, required=True, help="folder of train.jsonl")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--prompts", type=int, required=True)
    parser.add_argument("--max_new_tokens", type=int, required=True)
    args = parser.parse_args()
    update = args.prompts * ROLLOUTS // UPDATES
    micro_batch = min(MICRO_BATCHES[OURS][1], update)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False, learning_rate=1e-4,
            lr_scheduler_type="constant", max_steps=args.steps * UPDATES, per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=update // micro_batch,
            steps_per_generation=UPDATES * update // micro_batch, num_generations=ROLLOUTS,
            max_completion_length=args.max_new_tokens, temperature=1.0, beta=0.0, report_to=[], save_strategy="no",
            logging_steps=1, seed=0,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(args.model), args=config, callbacks=[clock],
            processing_class=AutoTokenizer.from_pretrained(args.model, padding_side="left"),
            reward_funcs=make_reward(args.reward),
            train_dataset=load_dataset("json", data_files=str(args.data / "train.jsonl"), split="train"),
        )  # fmt: skip
        trainer.train()
    ends = clock.times[UPDATES - 1 :: UPDATES]
    seconds = median(later - earlier for earlier, later in pairwise(ends))
    lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    print(json.dumps({"step": seconds, "response_length": sum(lengths) / len(lengths)}))


if __name__ == "__main__":
    main()
