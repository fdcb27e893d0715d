#!/usr/bin/env bash
# Judges Qwen3-4B in thinking mode on the five benchmarks: 16 samples a problem.
#
#     bash examples/scripts/eval_qwen3_4b.sh [options of prepo_rlhf.cli.eval_math]
#
# Options given here win over those below; `--model checkpoint --output_dir folder` judges what was trained from it.
# Temperature, top-p and length are what the authors recommend for thinking; their top-k of 20 has no option here.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/eval_math.sh" \
    --model Qwen/Qwen3-4B \
    --prompt chat \
    --max_new_tokens 32768 \
    --temperature 0.6 \
    --top_p 0.95 \
    --n 16 \
    --output_dir runs/eval/qwen3_4b \
    "$@"
