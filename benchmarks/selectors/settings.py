"""Where the methods are compared: a base model, its problems, and all options that its runs share.

`weak` and `mid` are the arithmetic example's; `words` are the word problems, with a real language model.
Boundary: options and files; what a method changes of them is in `methods.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
TASK = ROOT / "examples" / "arithmetic"
WORDS = ROOT / "runs" / "word_problems"  # where the example leaves its problems and its warm model
ROLLOUTS = 8  # n, of a prompt
EVAL_SAMPLES = 16
TRAIN_FILE, HELDOUT_FILE = "train.jsonl", "heldout.jsonl"  # keys prompt and label; held out, a response for the probe
HELDOUT_SIZE = 72  # arithmetic: a held-out problem for each number of steps and wording
WORDS_HELDOUT = 96


class Setting(NamedTuple):
    """What all methods share.

    `prompts`: K, of a step. `train_size`: training problems, some steps' candidates. `lengths`: steps of a run.
    `eval_every`: steps from one evaluation to the next. `options`: of the training command, beside those that are
    made here of the others. `make_data`: writes the problems' files into a folder.
    """

    model: Path
    prompts: int
    train_size: int
    lengths: tuple[int, ...]
    eval_every: int
    learning_rate: float
    options: dict[str, Any]
    make_data: Callable[[Path], None]

    @property
    def rollouts(self) -> int:
        """Of a step."""
        return self.prompts * ROLLOUTS

    @property
    def template(self) -> str:
        """What stands around a problem."""
        return self.options.get("data.input_template", "{}")

    def arguments(self, heldout: Path, learning_rate: float) -> list[str]:
        """The options that all methods share, as words of a command; what a method sets again wins."""
        options = COMMON | self.options | {
            "actor.model_name_or_path": self.model,
            "actor.adam.lr": learning_rate,
            "rollout.batch_size": self.prompts,
            "eval.dataset": heldout,
        }  # fmt: skip
        # Models to measure are kept, and nothing to resume from.
        switches = ["--ds.packing_samples", "--ckpt.save_hf", "--ckpt.disable_ds"]
        return switches + [part for name, value in options.items() for part in (f"--{name}", str(value))]


COMMON: dict[str, Any] = {
    "backend": "cpu",
    "actor.num_gpus_per_node": 1,
    "actor.lr_scheduler": "constant",
    "actor.lr_warmup_ratio": 0,
    "ds.param_dtype": "fp32",
    "vllm.num_engines": 1,
    "data.input_key": "prompt",
    "data.label_key": "label",
    "prepo.selector": "random",
    "prepo.entropy_weight": "none",
    "rollout.n_samples_per_prompt": ROLLOUTS,
    "rollout.max_new_tokens": 48,
    "rollout.temperature": 1.0,
    "train.batch_size": 64,
    "eval.n_samples_per_prompt": EVAL_SAMPLES,
    "eval.temperature": 1.0,
    "ckpt.best_metric_key": "none",
}


def arithmetic(model: str, *step_weights: int) -> Setting:
    """`step_weights`: how often problems of 1 to 6 steps come in the training data."""
    size = 1200

    def make_data(folder: Path) -> None:
        sizes = ["--train_size", str(size), "--heldout_size", str(HELDOUT_SIZE)]
        weights = ["--step_weights", *map(str, step_weights)]
        script = [sys.executable, str(TASK / "make_data.py"), "--output_dir", str(folder)]
        subprocess.run([*script, *sizes, *weights, "--seed", "0"], check=True)

    options = {
        "data.max_len": 128,
        "reward.remote_url": TASK / "reward.py",
        "rollout.micro_batch_size": 128,
        "train.micro_batch_size": 64,
    }
    return Setting(TASK / "checkpoints" / model, 16, size, (60, 150), 10, 1e-4, options, make_data)


def copy_words(folder: Path) -> None:
    """The example's problems under the keys of the others, the first of those held out with an answer for the probe.

    Raises:
        FileNotFoundError: the example has not been prepared.
    """
    if not (WORDS / "warm" / "warm_up.json").is_file():
        raise FileNotFoundError(f"{WORDS} has no warm model yet: PREPARE_ONLY=1 bash examples/word_problems/run.sh")
    folder.mkdir(parents=True, exist_ok=True)
    for source, name, most in (("train", TRAIN_FILE, None), ("held_out", HELDOUT_FILE, WORDS_HELDOUT)):
        rows = [json.loads(line) for line in (WORDS / "data" / f"{source}.jsonl").read_text().splitlines()[:most]]
        made = [
            {"prompt": row["prompt"], "label": row["answer"], "response": rf"The answer is \boxed{{{row['answer']}}}."}
            for row in rows
        ]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in made))


SETTINGS = {
    "weak": arithmetic("weak", 1, 1, 1, 1, 8, 8),  # mostly beyond the policy, which solves hardly any of 5 or 6 steps
    "mid": arithmetic("mid", 1, 1, 1, 1, 1, 1),
    "words": Setting(
        WORDS / "warm",
        prompts=8,
        train_size=2400,
        lengths=(60,),
        eval_every=20,
        learning_rate=1e-5,
        options={
            "data.max_len": 256,
            "data.max_samples": 2400,
            "data.input_template": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
            "reward.remote_url": "math",
            "rollout.micro_batch_size": 16,
            "train.micro_batch_size": 16,
        },
        make_data=copy_words,
    ),
}
