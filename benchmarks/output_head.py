"""The output head's log-probs and entropies on a GPU: Triton kernels, PyTorch in chunks, and all logits at once.

    python benchmarks/output_head.py --output output_head.json
    python benchmarks/output_head.py --tiny     # on a CPU, to see that it runs

For the heads of Qwen2.5-7B and Llama3.1-8B in bfloat16, random hidden states and weights: time and peak memory of a
forward without gradients, and of forward and backward, in rounds in which the sides take turns; the kernels and the
chunks with several numbers of logits at once. The error is the largest of any token's, against float64 from the same
(rounded) logits, which isolates what the sides do with them.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from prepo_rlhf.output_head import chunked, torch_logits
from prepo_rlhf.output_head.chunked import head_statistics
from prepo_rlhf.output_head.head import OutputHead

SHAPES = {"Qwen2.5-7B": (152_064, 3584), "Llama3.1-8B": (128_256, 4096)}
TINY, TINY_TOKENS = {"tiny": (512, 64)}, 64
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHECKED = 256  # tokens


def chunks_of(logits: int) -> dict[str, Any]:
    """What makes `chunked` hold so many logits at once."""
    return {"tokens_at_once": lambda vocabulary, _device: logits // vocabulary}


# What is replaced in `chunked`; for all logits at once its place is taken by the plain formulas.
SIDES: dict[str, dict[str, Any] | None] = {"all logits": None}
for power in (25, 27):
    SIDES[f"PyTorch, 2^{power}"] = chunks_of(2**power) | {"_logit_reader": lambda _device: torch_logits}
for power in (25, 26, 27, 28) if DEVICE == "cuda" else ():
    SIDES[f"Triton, 2^{power}"] = chunks_of(2**power)


def from_all(log_p: Tensor, targets: Tensor) -> Tensor:
    """[N, 2] of all log-probs [N, V], in their type."""
    return torch.stack([log_p.gather(1, targets[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1)], dim=-1)


def run(side: str, hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """[N, 2]; with backward, where the arguments have gradients."""
    replaced = SIDES[side]
    with mock.patch.multiple(chunked, **replaced) if replaced else nullcontext():
        if replaced:
            result = head_statistics(hidden, targets, OutputHead(weight))
        else:
            result = from_all(functional.linear(hidden, weight).float().log_softmax(dim=-1), targets)
        if result.requires_grad:
            result.backward(torch.ones_like(result))
    return result.detach()


def measured(side: str, parts: tuple[Tensor, Tensor, Tensor]) -> tuple[float, int]:
    """Seconds, and the bytes that it adds at its highest; on a CPU 0."""
    for part in parts:
        part.grad = None
    if DEVICE == "cpu":
        start = time.perf_counter()
        run(side, *parts)
        return time.perf_counter() - start, 0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    run(side, *parts)
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before


@torch.no_grad()
def error(side: str, hidden: Tensor, targets: Tensor, weight: Tensor) -> float:
    hidden, targets = hidden[:CHECKED], targets[:CHECKED]
    exact = from_all(functional.linear(hidden, weight).double().log_softmax(dim=-1), targets)
    return (run(side, hidden, targets, weight) - exact).abs().max().item()


def measure(vocabulary: int, width: int, tokens: int, pairs: int) -> dict[str, dict[str, float]]:
    torch.manual_seed(0)
    device = {"device": DEVICE, "dtype": torch.bfloat16}
    hidden, weight = torch.randn(tokens, width, **device), torch.randn(vocabulary, width, **device) / width**0.5
    targets = torch.randint(vocabulary, (tokens,), device=DEVICE)
    rows = {side: {"error": error(side, hidden, targets, weight)} for side in SIDES}
    for gradients in (False, True):
        parts = (hidden.detach().requires_grad_(gradients), targets, weight.detach().requires_grad_(gradients))
        samples = {side: [] for side in SIDES}
        for number in range(pairs + 1):
            for side in SIDES:
                sample = measured(side, parts)
                if number > 0:  # the first warms up
                    samples[side].append(sample)
        name = "forward and backward" if gradients else "forward"
        for side, taken in samples.items():
            rows[side][f"{name}, ms"] = 1e3 * median(seconds for seconds, _ in taken)
            rows[side][f"{name}, peak MiB"] = max(peak for _, peak in taken) / 2**20
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_tokens", type=int, default=16_384)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a tiny head and few tokens, which measure nothing")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if DEVICE == "cpu" and not args.tiny:
        parser.error("this benchmark needs a GPU, but for --tiny; on a CPU run benchmarks/policy_pass.py")
    shapes, num_tokens = (TINY, TINY_TOKENS) if args.tiny else (SHAPES, args.num_tokens)
    gpu = torch.cuda.get_device_name() if DEVICE == "cuda" else None
    results = {"gpu": gpu, "torch": torch.__version__, "num_tokens": num_tokens}
    for name, (vocabulary, width) in shapes.items():
        rows = results[name] = measure(vocabulary, width, num_tokens, args.pairs)
        table = Table(name, *next(iter(rows.values())))
        for side, row in rows.items():
            table.add_row(side, *(f"{value:.3g}" for value in row.values()))
        Console(width=160).print(table)
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
