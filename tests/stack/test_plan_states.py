"""The plan's model states against the tensors of real DeepSpeed engines, and its KV cache against vLLM's own sizes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from tiny_tasks import gpu_config

from prepo_rlhf.planning.engine import BLOCK_TOKENS, block_bytes
from prepo_rlhf.planning.model_shape import ModelShape, model_shape
from prepo_rlhf.planning.states import LIVE_PARAMETERS, REDUCE_BUCKET, SUB_GROUP, policy_states

# One rank of a tiny model: prints the bytes of every tensor of its engine before and after a backward.
RANK = """
import gc, json, os, sys
import deepspeed, torch
from transformers import LlamaConfig, LlamaForCausalLM

stage, dtype = int(sys.argv[1]), sys.argv[2]
deepspeed.init_distributed("gloo", rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
sizes = dict(vocab_size=64, hidden_size=64, intermediate_size=160, num_hidden_layers=4, num_attention_heads=4)
model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=False))
parameters = model.num_parameters()
if dtype == "bf16":
    model = model.to(torch.bfloat16)
zero = {"stage": stage, "reduce_bucket_size": 1000, "stage3_param_persistence_threshold": 0}
engine = deepspeed.initialize(model=model, config={
    "train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": dtype == "bf16"}, "zero_optimization": zero,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
})[0]
tokens = torch.zeros(1, 8, dtype=torch.long)

def held():
    gc.collect()
    tensors = [found for found in gc.get_objects() if isinstance(found, torch.Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t.device.type == "cpu"}
    return sum(storages.values())

def backward():
    engine.backward(engine(tokens, labels=tokens).loss)

backward()
engine.step()  # the optimizer has its moments from here on
after_step = held()
backward()
print(json.dumps({"parameters": parameters, "after_step": after_step, "after_backward": held()}))
"""


def run_ranks(ranks: int, stage: int, dtype: str) -> dict[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(ranks)}
    shared |= {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RANK, str(stage), dtype]
    processes = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in range(ranks)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs[0][1].decode()[-2000:]
    return json.loads(outputs[0][0].decode().splitlines()[-1])


@pytest.mark.parametrize(
    ("ranks", "stage", "dtype"),
    [
        *[(2, 1, "bf16"), (2, 3, "bf16")],
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [(1, 0, "bf16"), (1, 0, "fp32"), (2, 2, "bf16"), (2, 2, "fp32")]
        ),
    ],
)
def test_states_are_the_tensors_that_deepspeed_holds(ranks: int, stage: int, dtype: str) -> None:
    """Within 5% of a model so small that its paddings and buffers count."""
    held = run_ranks(ranks, stage, dtype)
    changes = {"ds.zero_stage": stage, "ds.param_dtype": dtype, "actor.num_gpus_per_node": ranks}
    config = gpu_config().replaced(changes)
    shape = ModelShape(held["parameters"], held["parameters"], 64, 160, 4, 4, 4, 16, 64, False, False)
    states = policy_states(shape, config)
    if stage == 1:
        # What is reduced at once is held by its owner alone; all of it is there only while gradients accumulate.
        assert held["after_step"] == pytest.approx(states.weights + states.optimizer, rel=0.05)
    else:
        together = states.weights + states.optimizer + states.gradients
        assert held["after_backward"] == pytest.approx(together, rel=0.05)


def test_buckets_are_deepspeeds_defaults() -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    defaults = DeepSpeedZeroConfig()
    assert (defaults.reduce_bucket_size, defaults.max_live_parameters) == (REDUCE_BUCKET, LIVE_PARAMETERS)
    assert defaults.sub_group_size == SUB_GROUP


@pytest.mark.parametrize("tensor_parallel", [1, 2])
@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen3-4B", "meta-llama/Llama-3.1-8B"])
def test_a_cache_block_is_vllms(name: str, tensor_parallel: int) -> None:
    import torch
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    changes = {"actor.model_name_or_path": name, "vllm.tensor_parallel_size": tensor_parallel}
    config = gpu_config().replaced(changes)
    shape = model_shape(config)
    page = FullAttentionSpec(
        block_size=BLOCK_TOKENS,
        num_kv_heads=shape.kv_heads // tensor_parallel,
        head_size=shape.head_dim,
        dtype=torch.bfloat16,
    )
    assert block_bytes(shape, config) == shape.layers * page.page_size_bytes
