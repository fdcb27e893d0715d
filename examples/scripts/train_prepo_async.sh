#!/usr/bin/env bash
# PREPO while the next rollouts are generated: half of each node's GPUs for the policy, half for the engines.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_prepo_async.sh [options of the job]
#     PLAN=1 bash examples/scripts/train_prepo_async.sh    # what it will take, without starting it
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own.
set -euo pipefail
export NODES=${NODES:-1} GPUS=${GPUS:-8}

# Our choice: engines never rest, so they have GPUs of their own. Rollouts come from the weights of an earlier step;
# tokens that have become much more or less likely since do not count.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train_variant.sh" async \
    --train.async_enable \
    --train.async_queue_size 1 \
    --train.no_colocate_all \
    --vllm.no_enable_sleep \
    --ds.no_enable_sleep \
    --actor.num_gpus_per_node "$((GPUS / 2))" \
    --vllm.num_engines "$((NODES * (GPUS - GPUS / 2)))" \
    --vllm.gpu_memory_utilization 0.9 \
    --algo.advantage.is_correction_level token \
    "$@"
