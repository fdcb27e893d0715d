#!/usr/bin/env bash
# Trains Llama-3.1-8B-Instruct with PREPO on two nodes of 8 GPUs: examples/recipes/prepo_llama3.1_8b.yaml.
#
#     DATA=train.jsonl EVAL_DATA=heldout.jsonl bash examples/scripts/train_prepo_llama3.1_8b_2nodes.sh [options of the job]
NODES=2 exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" prepo_llama3.1_8b "$@"
