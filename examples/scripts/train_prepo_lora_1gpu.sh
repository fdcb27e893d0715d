#!/usr/bin/env bash
# PREPO on LoRA adapters, on one GPU.
#
#     SCRIPT=train_prepo_qwen2.5_7b.sh bash examples/scripts/train_prepo_lora_1gpu.sh [options of the job]
#     PLAN=1 bash examples/scripts/train_prepo_lora_1gpu.sh    # what it will take, without starting it
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own.
set -euo pipefail
export NODES=1 GPUS=1

# Our choice: a quarter of the prompts a step, adapters of rank 64, and the larger learning rate that adapters take.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train_variant.sh" lora \
    --prepo.candidate_batch_size 160 \
    --rollout.batch_size 32 \
    --train.batch_size 64 \
    --train.num_episodes 5 \
    --ds.zero_stage 2 \
    --ds.lora.rank 64 \
    --ds.lora.alpha 64 \
    --actor.adam.lr 1e-5 \
    --vllm.gpu_memory_utilization 0.6 \
    "$@"
