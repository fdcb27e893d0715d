#!/usr/bin/env bash
# Trains Qwen2.5-Math-1.5B with PREPO on one node of 8 GPUs, on DAPO-Math-17K as the paper did.
#
#     bash examples/scripts/train_prepo_qwen2.5_math_1.5b.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_qwen2.5_math_1.5b.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-Qwen/Qwen2.5-Math-1.5B}
DATA=${DATA:-/path/to/dapo_math_17k.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_qwen2.5_math_1.5b}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Not published; our choice: the context is 4,096 tokens. On 17,000 problems 41 episodes are 1,066 steps and 1,091,584
# rollouts, about the 1.1 million that the paper reports for PREPO.
MODEL_OPTIONS=(
    --ds.zero_stage 2
    --data.input_template qwen-math
    --data.max_len 4096
    --rollout.max_new_tokens 3072
    --train.num_episodes 41
)

submit "${MODEL_OPTIONS[@]}" "$@"
