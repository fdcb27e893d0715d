#!/usr/bin/env bash
# Trains Llama-3.1-8B-Instruct with PREPO, by default on two nodes: examples/recipes/prepo_llama3.1_8b.yaml.
#
#     DATA=train.jsonl EVAL_DATA=heldout.jsonl bash examples/scripts/train_prepo_llama3.1_8b.sh [options of the job]
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" prepo_llama3.1_8b "$@"
