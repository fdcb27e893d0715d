"""The pass that gives old log-probs and entropies, beside OpenRLHF's that gives log-probs alone, and its with both.

    python benchmarks/policy_pass.py --output policy_pass.json
    python benchmarks/policy_pass.py --hidden_size 3584 --num_tokens 16384 --dtype bf16     # a 7B's head, on a GPU

A Qwen2 of two layers, its sequences packed, random weights. Times are medians over rounds in which the sides take turns
in one process; the peak is what a pass adds to the memory in use, on a CPU each side in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm
from training_step.tables import report
from transformers import AutoModelForCausalLM, Qwen2Config

from prepo_rlhf.backends import packed_attention
from prepo_rlhf.backends.subclassing import specialise
from prepo_rlhf.ray.policy_model import Actor, PolicyModel

SIDES = ("log-probs, OpenRLHF", "both, OpenRLHF", "both, this project")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Pass = Callable[[], None]


def load(args: argparse.Namespace) -> tuple[Actor, PolicyModel]:
    """OpenRLHF's model and this project's, around the same weights. Heads of 128, as in every Qwen2.5 from 1.5B on."""
    heads = args.hidden_size // 128
    config = Qwen2Config(
        vocab_size=args.vocabulary, hidden_size=args.hidden_size, intermediate_size=4 * args.hidden_size,
        num_hidden_layers=args.layers, num_attention_heads=heads, num_key_value_heads=2 if heads % 2 == 0 else 1,
        max_position_embeddings=args.length, tie_word_embeddings=False,
    )  # fmt: skip
    packed_attention.register()
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[args.dtype], attn_implementation="packed_sdpa")
    theirs, ours = Actor(model.eval()), Actor(model)
    theirs.packing_samples = ours.packing_samples = True
    specialise(ours, PolicyModel)
    return theirs, ours


def passes(models: tuple[Actor, PolicyModel], args: argparse.Namespace, num_tokens: int) -> dict[str, Pass]:
    """The sides, on the same packed batch."""
    theirs, ours = models
    rows = max(1, num_tokens // args.length)
    sequences = torch.randint(args.vocabulary, (rows, args.length), device=DEVICE)
    batch = {"sequences": sequences, "attention_mask": torch.ones_like(sequences)}
    prompt = round(args.length * args.prompt_share)
    batch["action_mask"] = torch.ones(rows, args.length - max(prompt, 1), dtype=torch.long, device=DEVICE)
    calls = {
        SIDES[0]: lambda: theirs(**batch),
        SIDES[1]: lambda: theirs(**batch, return_output=True, return_entropy=True),
        SIDES[2]: lambda: ours(**batch, return_output=True, return_entropy=True),
    }
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def seconds(call: Pass) -> float:
    start = time.perf_counter()
    call()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(args: argparse.Namespace, side: str) -> int:
    """What a pass adds, at its highest, to the memory in use before it."""
    models = load(args)
    passes(models, args, args.length)[side]()  # loads libraries, and finds out about the head
    call = passes(models, args, args.num_tokens)[side]
    if DEVICE == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # resets the kernel's high-water mark
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def peak_of(args: argparse.Namespace, side: str) -> int:
    """On a CPU what one side has allocated and freed would be there for the next."""
    if DEVICE == "cuda":
        return peak_bytes(args, side)
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(peak_bytes, (args, side))


def _resident(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1))


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds and peak bytes of each side, and both as shares of the first's."""
    peaks = {side: peak_of(args, side) for side in SIDES}
    calls = passes(load(args), args, args.num_tokens)
    times = {side: [] for side in SIDES}
    for number in tqdm(range(args.pairs + 1), unit="round"):
        for side, call in calls.items():
            taken = seconds(call)
            if number > 0:  # the first warms up
                times[side].append(taken)
    first = SIDES[0]
    return {
        side: {
            "seconds": median(times[side]),
            "time_ratio": median(own / base for own, base in zip(times[side], times[first], strict=True)),
            "peak_mib": peaks[side] / 2**20,
            "peak_ratio": peaks[side] / peaks[first],
        }
        for side in SIDES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=152_064)
    parser.add_argument("--hidden_size", type=int, default=896)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--num_tokens", type=int, default=4096)
    parser.add_argument("--length", type=int, default=512, help="of a sequence")
    parser.add_argument("--prompt_share", type=float, default=0.25, help="of a sequence, without log-probs")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("sides", measure(args), args)


if __name__ == "__main__":
    main()
