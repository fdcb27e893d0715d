#!/usr/bin/env bash
# Trains Llama-3.1-8B-Instruct with PREPO, by default on two nodes of 8 GPUs.
#
#     bash examples/scripts/train_prepo_llama3.1_8b.sh [options of prepo_rlhf.cli.train_prepo_ray]
#     PLAN=1 bash examples/scripts/train_prepo_llama3.1_8b.sh    # what it will take, without starting it
#
# Edit the paths; options given on the command line win over those below. Ray runs already: see docs/cluster.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

MODEL=${MODEL:-meta-llama/Llama-3.1-8B-Instruct}
DATA=${DATA:-/path/to/problems.jsonl} # JSON lines with the keys prompt and answer
EVAL_DATA=${EVAL_DATA:-} # the same of held-out problems; empty: no evaluation
RUN=${RUN:-$ROOT/runs/prepo_llama3.1_8b}
NODES=${NODES:-2}

# shellcheck source=examples/scripts/train_common.sh
source "$ROOT/examples/scripts/train_common.sh"

# Not published, the data neither; our choice: template and lengths, and 10 episodes.
MODEL_OPTIONS=(
    --data.input_template llama3
    --data.max_len 4096
    --rollout.max_new_tokens 3072
    --train.num_episodes 10
)

submit "${MODEL_OPTIONS[@]}" "$@"
