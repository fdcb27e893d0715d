#!/usr/bin/env bash
# Trains Qwen2.5-7B, the base model, with PREPO on one node of 8 GPUs, on DAPO-Math-17K as the paper did.
#
#     bash examples/scripts/train_prepo_qwen2.5_7b.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_qwen2.5_7b.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-Qwen/Qwen2.5-7B}
DATA=${DATA:-/path/to/dapo_math_17k.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_qwen2.5_7b}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Not published; our choice: template and lengths are those of Qwen2.5-Math, with more room for the response; on 17,000
# problems 20 episodes are 520 steps and 532,480 rollouts.
MODEL_OPTIONS=(
    --data.input_template qwen-math
    --data.max_len 5120
    --rollout.max_new_tokens 4096
    --train.num_episodes 20
)

submit "${MODEL_OPTIONS[@]}" "$@"
