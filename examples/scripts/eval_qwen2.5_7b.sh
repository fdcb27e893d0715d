#!/usr/bin/env bash
# Judges Qwen2.5-7B, the base model, on the five benchmarks: 16 samples a problem.
#
#     bash examples/scripts/eval_qwen2.5_7b.sh [options of prepo_rlhf.cli.eval_math]
#
# Options given here win over those below; `--model checkpoint --output_dir folder` judges what was trained from it.
# The authors give no settings for sampling it: temperature and top-p, the same as for Qwen2.5-Math, length and template
# are our choice.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/eval_math.sh" \
    --model Qwen/Qwen2.5-7B \
    --prompt qwen-math \
    --max_new_tokens 4096 \
    --temperature 0.7 \
    --top_p 0.8 \
    --n 16 \
    --output_dir runs/eval/qwen2.5_7b \
    "$@"
