#!/usr/bin/env bash
# The baseline Random-K for a PREPO run: K of the same candidates at random, rollouts not weighted.
#
#     SCRIPT=train_prepo_qwen3_4b.sh bash examples/scripts/train_random.sh [options of prepo_rlhf.cli.train_prepo_ray]
#
# All else is as in SCRIPT, whose paths are to be edited; the records go to a folder of their own. As many candidates are
# drawn, so that the steps, prompts and rollouts are as many too.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/train_variant.sh" random \
    --prepo.selector random \
    --prepo.entropy_weight none \
    "$@"
