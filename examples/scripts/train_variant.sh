#!/usr/bin/env bash
# Runs a model's train script with some options changed and records of its own: what the other scripts here are made of.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_variant.sh NAME [options of the job]
#
# The records are in runs/NAME_..., unless RUN says otherwise. Paths are edited in SCRIPT, or come from the environment.
set -euo pipefail
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

NAME=${1:?usage: train_variant.sh NAME [options of the job]}
shift
SCRIPT=${SCRIPT:-train_prepo_qwen2.5_math_7b.sh}
MODEL_NAME=$(basename "${SCRIPT#train_prepo_}" .sh)
export RUN=${RUN:-$(dirname "$(dirname "$SCRIPTS")")/runs/${NAME}_$MODEL_NAME}

exec bash "$SCRIPTS/$SCRIPT" "$@"
