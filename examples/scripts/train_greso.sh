#!/usr/bin/env bash
# The baseline GRESO (arXiv 2506.02177) for a PREPO run: prompts with a history of equal rewards are skipped.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_greso.sh [options of prepo_rlhf.cli.train_prepo_ray]
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

SCRIPT=${SCRIPT:-train_prepo_qwen2.5_math_7b.sh}
NAME=${SCRIPT#train_prepo_}
export RUN=${RUN:-$ROOT/runs/greso_${NAME%.sh}}

# It drops groups of equal rewards and draws others, so that its steps take more rollouts: compare at equal rollouts.
exec bash "$ROOT/examples/scripts/$SCRIPT" \
    --prepo.selector greso \
    --prepo.entropy_weight none \
    "$@"
