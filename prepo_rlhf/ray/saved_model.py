"""The policy as files that others load: OpenRLHF's, and with LoRA a whole model with its adapter beside it.

OpenRLHF saves a LoRA policy as its adapter alone, under the name of a model's folder, where neither an engine nor
from_pretrained finds a model. Here the folder holds the merged weights, the ones that the engines sampled from, and
`adapter/` in it what PEFT loads onto the base model.
Boundary: one DeepSpeed rank of several, all of which take part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import deepspeed
import torch
from openrlhf.utils.distributed_util import torch_dist_barrier_and_cuda_sync
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from prepo_rlhf.files.empty_model import make_savable
from prepo_rlhf.ray.strategy import Strategy
from prepo_rlhf.ray.weight_sync import PolicyWeights

ADAPTER_FOLDER = "adapter"


def save_model(strategy: Strategy, model: Any, tokenizer: PreTrainedTokenizerBase, folder: str) -> None:
    """Save a model that `strategy` has prepared, in Hugging Face's format."""
    wrapped = strategy._unwrap_model(model)
    adapted = isinstance(wrapped, PeftModel)
    base: Any = wrapped.get_base_model() if adapted else wrapped
    if base.can_generate():
        make_savable(base.generation_config)
    if not adapted:
        strategy.save_model(model, tokenizer, folder)
        return
    merged = _on_rank_0(strategy, PolicyWeights(wrapped))
    adapter = _on_rank_0(strategy, _adapter_weights(wrapped))
    if strategy.is_rank_0():
        saved = base.state_dict()
        merged |= {name: buffer.cpu() for name, buffer in base.named_buffers() if name in saved}
        base.save_pretrained(folder, state_dict=merged)
        tokenizer.save_pretrained(folder)
        wrapped.save_pretrained(os.path.join(folder, ADAPTER_FOLDER), state_dict=adapter)
    torch_dist_barrier_and_cuda_sync()


def _on_rank_0(strategy: Strategy, weights: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Copies of all weights in rank 0's memory; the others only take part in gathering them."""
    keep = strategy.is_rank_0()
    return {name: weight.detach().cpu().clone() for name, weight in weights if keep}


def _adapter_weights(model: PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            with deepspeed.zero.GatheredParameters([weight], enabled=hasattr(weight, "ds_id")):
                yield name, weight.data
