#!/usr/bin/env bash
# PREPO with DAPO's dynamic sampling (arXiv 2503.14476): groups of equal rewards are dropped and replaced.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_prepo_dynamic_filtering.sh [options of the job]
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own. Replacements come from
# the windows that follow, so that there are fewer steps of the same data.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/train_variant.sh" dynamic_filtering \
    --algo.dynamic_filtering_enable \
    --algo.dynamic_filtering_criterion zero-variance \
    "$@"
