#!/usr/bin/env bash
# Trains Qwen2.5-Math-7B with PREPO while the next rollouts are generated: half of a node's GPUs for each.
#
#     bash examples/scripts/train_prepo_async.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_async.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-Qwen/Qwen2.5-Math-7B}
DATA=${DATA:-/path/to/dapo_math_17k.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_async}
NODES=${NODES:-1}
GPUS=${GPUS:-8}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Our choice, in place of the layout of train_common.sh: engines never rest, so they have GPUs of their own. Rollouts
# come from the weights of an earlier step; tokens that have become much more or less likely since do not count.
ASYNC_LAYOUT=(
    --train.async_enable
    --train.async_queue_size 1
    --actor.num_nodes "$NODES"
    --actor.num_gpus_per_node "$((GPUS / 2))"
    --vllm.num_engines "$((NODES * (GPUS - GPUS / 2)))"
    --vllm.gpu_memory_utilization 0.9
    --algo.advantage.is_correction_level token
    --ds.zero_stage 3
    --ds.packing_samples
    --train.dynamic_batch_enable
    --train.max_tokens_per_gpu 16384
    --actor.gradient_checkpointing_enable
)

# Those of train_prepo_qwen2.5_math_7b.sh.
MODEL_OPTIONS=(
    --data.input_template qwen-math
    --data.max_len 4096
    --rollout.max_new_tokens 3072
    --train.num_episodes 20
)

submit "${METHOD[@]}" "${BATCHES[@]}" "${ASYNC_LAYOUT[@]}" "${FILES[@]}" "${MODEL_OPTIONS[@]}" "$@"
