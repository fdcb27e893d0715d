#!/usr/bin/env bash
# The baseline GRESO (arXiv 2506.02177) for a PREPO run: prompts with a history of equal rewards are skipped.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_greso.sh [options of prepo_rlhf.cli.train_prepo_ray]
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own. It drops groups of
# equal rewards and draws others, so that its steps take more rollouts: compare at equal rollouts.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/train_variant.sh" greso \
    --prepo.selector greso \
    --prepo.entropy_weight none \
    "$@"
