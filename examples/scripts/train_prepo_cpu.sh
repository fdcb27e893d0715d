#!/usr/bin/env bash
# Trains a small language model with PREPO on this machine's CPU: real Ray, DeepSpeed and vLLM, in a few minutes.
#
#     bash examples/scripts/train_prepo_cpu.sh [options of prepo_rlhf.cli.train_prepo_ray]
#
# The job is examples/recipes/prepo_cpu.yaml; options given here win over it. Ctrl-C stops the job, which saves its last
# step, and the Ray that this script started (no other); metrics and checkpoints stay in runs/arithmetic, and
# --ckpt.load_enable goes on from the newest. Without it a new run begins, and an earlier one in that folder is set aside
# in runs/arithmetic/before-DATE.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=examples/scripts/cpu_ray.sh
source examples/scripts/cpu_ray.sh

TASK=$ROOT/examples/arithmetic
MODEL=$TASK/checkpoints/mid
DATA=$ROOT/runs/arithmetic_data
JOB=(python -m prepo_rlhf.cli.train_prepo_ray --config "$ROOT/examples/recipes/prepo_cpu.yaml" "$@")
read_options "${JOB[@]}"

[[ -f $MODEL/config.json ]] || python "$TASK/base_model.py" --kind mid --output_dir "$MODEL"
python "$TASK/make_data.py" --output_dir "$DATA" --train_size 2400 --heldout_size 240 --seed 0

run_job "${JOB[@]}"
python -m prepo_rlhf.cli.summary "$RUN_DIR"
echo "Records: $(realpath "$RUN_DIR")"
