#!/usr/bin/env bash
# Judges Llama-3.1-8B-Instruct on the five benchmarks: 16 samples a problem.
#
#     bash examples/scripts/eval_llama3.1_8b.sh [options of prepo_rlhf.cli.eval_math]
#
# Options given here win over those below; `--model checkpoint --output_dir folder` judges what was trained from it.
# Temperature and top-p come from the model's own generation_config.json, the length from its authors' evaluation on
# MATH.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/eval_math.sh" \
    --model meta-llama/Llama-3.1-8B-Instruct \
    --prompt llama3 \
    --max_new_tokens 5120 \
    --temperature 0.6 \
    --top_p 0.9 \
    --n 16 \
    --output_dir runs/eval/llama3.1_8b \
    "$@"
