#!/usr/bin/env bash
# Trains LoRA adapters of Qwen2.5-Math-7B with PREPO on one GPU.
#
#     bash examples/scripts/train_prepo_lora_1gpu.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_lora_1gpu.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-Qwen/Qwen2.5-Math-7B}
DATA=${DATA:-/path/to/dapo_math_17k.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_lora}
NODES=${NODES:-1}
GPUS=${GPUS:-1}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Our choice: a quarter of the prompts a step, adapters of rank 64, and the larger learning rate that adapters take.
MODEL_OPTIONS=(
    --prepo.candidate_batch_size 160
    --rollout.batch_size 32
    --train.batch_size 64
    --ds.zero_stage 2
    --ds.lora.rank 64
    --ds.lora.alpha 64
    --actor.adam.lr 1e-5
    --vllm.gpu_memory_utilization 0.6
    --data.input_template qwen-math
    --data.max_len 4096
    --rollout.max_new_tokens 3072
    --train.num_episodes 5
)

submit "${METHOD[@]}" "${BATCHES[@]}" "${LAYOUT[@]}" "${FILES[@]}" "${MODEL_OPTIONS[@]}" "$@"
