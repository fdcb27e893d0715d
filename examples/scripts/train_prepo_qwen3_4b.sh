#!/usr/bin/env bash
# Trains Qwen3-4B with PREPO on one node of 8 GPUs, on DAPO-Math-17K as the paper did.
#
#     bash examples/scripts/train_prepo_qwen3_4b.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_qwen3_4b.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-Qwen/Qwen3-4B}
DATA=${DATA:-/path/to/dapo_math_17k.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_qwen3_4b}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Not published; our choice: the chat template, in which the model thinks before it answers, around question and
# instruction, as eval_qwen3_4b.sh has them, and the room for that. On 17,000 problems 13 episodes are 338 steps and
# 346,112 rollouts, about the 348,000 that the paper reports for PREPO.
MODEL_OPTIONS=(
    --data.input_template chat
    --data.max_len 9216
    --rollout.max_new_tokens 8192
    --train.num_episodes 13
)

submit "${MODEL_OPTIONS[@]}" "$@"
