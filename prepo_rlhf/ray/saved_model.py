"""The policy as files that others load: a whole model, the one that the engines sampled from, each weight once.

OpenRLHF saves a LoRA policy as its adapter alone, under the name of a model's folder, where neither an engine nor
from_pretrained finds a model; here the folder holds the merged weights, and `adapter/` in it what PEFT loads onto the
base model. And of a model whose head is its embedding OpenRLHF saves both, since it copies each before.
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
    weights = _on_rank_0(strategy, PolicyWeights(wrapped))
    adapter = _on_rank_0(strategy, _adapter_weights(wrapped)) if adapted else {}
    if strategy.is_rank_0():
        saved = base.state_dict()
        weights |= {name: buffer.cpu() for name, buffer in base.named_buffers() if name in saved}
        base.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
        if adapted:
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
