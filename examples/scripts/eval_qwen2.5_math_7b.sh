#!/usr/bin/env bash
# Judges Qwen2.5-Math-7B on the five benchmarks: 16 samples a problem.
#
#     bash examples/scripts/eval_qwen2.5_math_7b.sh [options of prepo_rlhf.cli.eval_math]
#
# Options given here win over those below; `--model checkpoint --output_dir folder` judges what was trained from it.
# The context is 4096 tokens: 3072 for the response, 1024 for the prompt. The authors give no settings for sampling the
# base model; temperature and top-p are our choice, those of their Instruct model.
set -euo pipefail

exec bash "$(dirname "${BASH_SOURCE[0]}")/eval_math.sh" \
    --model Qwen/Qwen2.5-Math-7B \
    --prompt qwen-math \
    --max_new_tokens 3072 \
    --temperature 0.7 \
    --top_p 0.8 \
    --n 16 \
    --output_dir runs/eval/qwen2.5_math_7b \
    "$@"
