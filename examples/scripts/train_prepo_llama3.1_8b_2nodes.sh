#!/usr/bin/env bash
# Trains Llama-3.1-8B-Instruct with PREPO on two nodes of 8 GPUs. Paths and options are in
# train_prepo_llama3.1_8b.sh.
#
#     bash examples/scripts/train_prepo_llama3.1_8b_2nodes.sh [options of prepo_rlhf.cli.train_prepo_ray]
set -euo pipefail

NODES=2 exec bash "$(dirname "${BASH_SOURCE[0]}")/train_prepo_llama3.1_8b.sh" "$@"
