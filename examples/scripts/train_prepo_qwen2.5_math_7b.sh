#!/usr/bin/env bash
# Trains Qwen2.5-Math-7B with PREPO on one node of 8 GPUs: examples/recipes/prepo_qwen2.5_math_7b.yaml.
#
#     DATA=train.jsonl EVAL_DATA=heldout.jsonl bash examples/scripts/train_prepo_qwen2.5_math_7b.sh [options of the job]
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" prepo_qwen2.5_math_7b "$@"
