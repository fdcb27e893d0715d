#!/usr/bin/env bash
# Teaches a real language model to solve real word problems with PREPO on this machine's CPU, from nothing to a result.
#
#     bash examples/word_problems/run.sh [options of prepo_rlhf.cli.train_prepo_ray]
#
#     MODEL=folder or name on the hub      another model than SmolLM2-135M-Instruct, which is made from a package of PyPI
#     DATA=folder                          copies of SVAMP, ASDiv and MAWPS; without it they come from the hub
#     WITHOUT=asdiv                        sources to leave out; ASDiv is CC BY-NC 4.0
#     PREPARE_ONLY=1                       make problems and warm model, and train nothing
#
# The job is examples/recipes/prepo_words_cpu.yaml; options given here win over it. Everything is in runs/word_problems: data,
# the base model, the warm model, which is made once, and the run's records; an earlier run's are set aside in
# runs/word_problems/before-DATE, unless --ckpt.load_enable goes on with it. Ctrl-C stops the job, which saves its last step.
set -euo pipefail
[[ ${DATA:-} ]] && DATA=$(realpath "$DATA")
[[ -d ${MODEL:-} ]] && MODEL=$(realpath "$MODEL")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=examples/scripts/cpu_ray.sh
source examples/scripts/cpu_ray.sh

EXAMPLE=$ROOT/examples/word_problems
FILES=runs/word_problems
JOB=(python -m prepo_rlhf.cli.train_prepo_ray --config "$ROOT/examples/recipes/prepo_words_cpu.yaml" "$@")
read_options "${JOB[@]}"

echo "[1/4] Problems: SVAMP and MAWPS, and ASDiv (CC BY-NC 4.0: not for commercial use; WITHOUT=asdiv does without it)"
read -ra WITHOUT <<<"${WITHOUT:-}"
run_step python "$EXAMPLE/problems.py" --output_dir $FILES/data ${DATA:+--from "$DATA"} --without "${WITHOUT[@]}"

echo "[2/4] Model"
if [[ -z ${MODEL:-} ]]; then
    MODEL=$FILES/base
    python -c "import gguf" 2>/dev/null ||
        python -m pip install --quiet --no-deps --disable-pip-version-check --requirement "$EXAMPLE/requirements.txt"
    run_step python "$EXAMPLE/model.py" --output_dir $MODEL
fi

echo "[3/4] Warm-up"
run_step python "$EXAMPLE/warm_up.py" --model "$MODEL" --problems $FILES/data/warm_up.jsonl --output_dir $FILES/warm \
    --config <(echo "$EFFECTIVE")
[[ ${PREPARE_ONLY:-} ]] && exit

echo "[4/4] Training"
run_job "${JOB[@]}"
python -m prepo_rlhf.cli.summary "$RUN_DIR"
python "$EXAMPLE/show_answer.py" "$RUN_DIR"
echo "Records: $(realpath "$RUN_DIR")"
