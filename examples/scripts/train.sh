#!/usr/bin/env bash
# Submits the job of a recipe to the Ray cluster, and waits for it. Ray runs already: see docs/cluster.md.
#
#     DATA=train.jsonl EVAL_DATA=heldout.jsonl bash examples/scripts/train.sh RECIPE [options of the job]
#     PLAN=1 bash examples/scripts/train.sh RECIPE [options of the job]    # what it will take; nothing is started
#
# RECIPE is a name in examples/recipes, or a YAML file of your own. Options given here win over it. The environment may
# hold these, and what is not there is the recipe's:
#
#     MODEL       folder or Hugging Face name
#     DATA        training problems, JSON lines with the keys prompt and answer; a recipe of ours needs them
#     EVAL_DATA   held-out problems, the same; empty (EVAL_DATA=): no evaluation, so that no best model is kept
#     RUN         folder of the run's records
#     NODES GPUS  machines, and GPUs of each; the engines grow with the policy, which has half of an asynchronous job's
#     PLAN        1, or options of the plan, such as "--gpu_memory 141"
#     MAX_RESTARTS   3: how often the job is submitted again, to go on, when its driver has died or a part is gone for good
#     SUBMISSION_ID, RAY_API_SERVER_ADDRESS    of ray job submit
set -euo pipefail
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")/../recipes" && pwd)

# The job's process looks for the recipe by itself, so its path is absolute.
case ${1:-} in
*.yaml | *.yml) RECIPE=$(realpath --canonicalize-missing -- "$1") ;;
*) RECIPE=$RECIPES/${1:-RECIPE}.yaml ;;
esac
if [[ ! -f $RECIPE ]]; then
    echo "usage: train.sh RECIPE [options of the job]: there is no $RECIPE; take a YAML file of your own, or one of" >&2
    (cd "$RECIPES" && printf "    %s\n" *.yaml | sed "s/\.yaml$//") >&2
    exit 2
fi
shift

OPTIONS=(--config "$RECIPE")
[[ -z ${MODEL:-} ]] || OPTIONS+=(--actor.model_name_or_path "$MODEL")
[[ -z ${DATA:-} ]] || OPTIONS+=(--data.prompt_dataset "$DATA")
if [[ -n ${EVAL_DATA:-} ]]; then
    OPTIONS+=(--eval.dataset "$EVAL_DATA")
elif [[ -n ${EVAL_DATA+empty} ]]; then
    OPTIONS+=(--eval.steps -1)
fi
[[ -z ${RUN:-} ]] || OPTIONS+=(--ckpt.output_dir "$RUN/model" --ckpt.path "$RUN/checkpoints" --logger.run_dir "$RUN")

# An ill-formed option is found here. Without a run folder the options ask for something else, such as --help.
TRAIN=(python3 -m prepo_rlhf.cli.train_prepo_ray)
EFFECTIVE=$("${TRAIN[@]}" "${OPTIONS[@]}" "$@" --print_config)
[[ $EFFECTIVE == *"  run_dir: "* ]] || exec "${TRAIN[@]}" "${OPTIONS[@]}" "$@"

# The first option of a name is the policy's.
effective() { sed -n "/^  $1: /{s///p;q}" <<<"$EFFECTIVE"; }

if [[ -n ${NODES:-}${GPUS:-} ]]; then
    before=$(($(effective num_nodes) * $(effective num_gpus_per_node)))
    nodes=${NODES:-$(effective num_nodes)}
    policy=${GPUS:-$(effective num_gpus_per_node)}
    [[ -z ${GPUS:-} || $(effective async_enable) == false ]] || policy=$((GPUS / 2))
    engines=$(($(effective num_engines) * nodes * policy / before))
    OPTIONS+=(--actor.num_nodes "$nodes" --actor.num_gpus_per_node "$policy" --vllm.num_engines "$engines")
fi

if [[ -n ${PLAN:-} ]]; then
    read -ra plan <<<"$PLAN"
    [[ ${plan[0]} == --* ]] || plan=()
    exec python3 -m prepo_rlhf.cli.plan ${GPUS:+--gpus_per_node "$GPUS"} "${plan[@]}" -- "${OPTIONS[@]}" "$@"
fi
export RAY_API_SERVER_ADDRESS=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
SUBMISSION_ID=${SUBMISSION_ID:-prepo-$(date +%Y%m%d-%H%M%S)-$$}

# The exit status of a submitted job's driver; 137 where it was killed. A job that is still running, since only this script
# was stopped, is no reason to submit another beside it, nor is a cluster that cannot be asked.
driver_status() {
    python3 - "$1" <<'PYTHON' || echo 1
import sys

from ray.job_submission import JobStatus, JobSubmissionClient

job = JobSubmissionClient().get_job_info(sys.argv[1])
code = job.driver_exit_code
stopped = job.status == JobStatus.STOPPED or not job.status.is_terminal()
print(130 if stopped else 137 if code is None or code < 0 else code)
PYTHON
}

# In this folder, so that relative paths mean on the head of the cluster what they mean here.
JOB=(env --chdir "$PWD" "${TRAIN[@]}" "${OPTIONS[@]}" "$@")
ID=$SUBMISSION_ID GOING_ON=()
for ((again = 1; ; again++)); do
    ray job submit --submission-id "$ID" -- "${JOB[@]}" "${GOING_ON[@]}" && exit
    status=$(driver_status "$ID")
    # 75: a process, node or server is gone. Others are mistakes, or somebody has stopped the job.
    if [[ $status != 75 && $status -lt 137 ]] || ((again > ${MAX_RESTARTS:-3})); then
        exit "$status"
    fi
    ID=$SUBMISSION_ID-again-$again
    GOING_ON=(--ckpt.load_enable)
    echo "The driver ended with status $status: submitting the job again, to go on ($again of ${MAX_RESTARTS:-3} times)"
done
