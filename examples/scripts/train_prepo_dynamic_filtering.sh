#!/usr/bin/env bash
# PREPO with DAPO's dynamic sampling (arXiv 2503.14476): groups of equal rewards are dropped and replaced.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_prepo_dynamic_filtering.sh [options of the job]
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

SCRIPT=${SCRIPT:-train_prepo_qwen2.5_math_7b.sh}
NAME=${SCRIPT#train_prepo_}
export RUN=${RUN:-$ROOT/runs/dynamic_filtering_${NAME%.sh}}

# Replacements come from the windows that follow, so that there are fewer steps of the same data.
exec bash "$ROOT/examples/scripts/$SCRIPT" \
    --algo.dynamic_filtering_enable \
    --algo.dynamic_filtering_criterion zero-variance \
    "$@"
