#!/usr/bin/env bash
# Judges a model by mathematics benchmarks: MATH-500, AIME, OlympiadBench, GSM8K, or any file of problems.
#
#     bash examples/scripts/eval_math.sh --model Qwen/Qwen2.5-Math-1.5B --prompt qwen-math --output_dir runs/eval/base
#
# All options: --help-all. With GPUs it runs in the Python environment that is active; without, in .venv, which is set up
# first. A stopped evaluation goes on when the same command is given again.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

if ! command -v nvidia-smi >/dev/null; then
    bash "$ROOT/examples/scripts/setup_cpu.sh"
    export PATH=$ROOT/.venv/bin:$PATH
fi
# Silences a warning about a future default of Ray, which is without effect here.
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
exec python -m prepo_rlhf.cli.eval_math "$@"
