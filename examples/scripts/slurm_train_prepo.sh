#!/usr/bin/env bash
# Runs a train script on a Ray cluster of its own under Slurm: head and workers, the job, and a checkpoint in time.
#
#     sbatch --nodes 2 examples/scripts/slurm_train_prepo.sh TRAIN_SCRIPT [options of the job]
#     sbatch --nodes 1 examples/scripts/slurm_train_prepo.sh examples/scripts/train.sh RECIPE [options of the job]
#
# Submit from the repository's root, with the Python environment active; the folder must be on all nodes. Five minutes
# before the time limit the job is told to save; it is then queued again, and goes on from its newest checkpoint. So it is,
# MAX_RESTARTS times (3), when its driver has died, or a process, node or server is gone for good.
# Account, partition and time are the site's: edit them here, or give them to sbatch.
#SBATCH --job-name=prepo
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch}"

if [[ $# -eq 0 ]]; then
    echo "usage: sbatch slurm_train_prepo.sh TRAIN_SCRIPT [options of the job]" >&2
    exit 2
fi
SCRIPTS=examples/scripts
TRAIN=$1
shift
LIMIT=${MAX_RESTARTS:-3}
export MAX_RESTARTS=0 # of train.sh, which would submit it here
export NODES=$SLURM_JOB_NUM_NODES SUBMISSION_ID=prepo-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}
# Ports of this job's own, for a node that is shared all the same.
export PORT=$((20000 + SLURM_JOB_ID % 10000)) DASHBOARD_PORT=$((30000 + SLURM_JOB_ID % 10000))
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:$DASHBOARD_PORT
mapfile -t HOSTS < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
HEAD=${HOSTS[0]}

nodes_alive() {
    python3 - "127.0.0.1:$PORT" 2>/dev/null <<'PYTHON' || echo 0
import sys

import ray

ray.init(address=sys.argv[1], log_to_driver=False)
print(sum(node["Alive"] for node in ray.nodes()))
PYTHON
}

wait_for_nodes() {
    for ((tries = 0; $(nodes_alive) < $1; tries++)); do
        if ((tries == 60)) || ! kill -0 "$HEAD_STEP" 2>/dev/null; then
            echo "Ray did not come up on $1 nodes: see the messages above" >&2
            exit 1
        fi
        sleep 5
    done
}

# Slurm runs this script on the first node. --overlap: the steps share the nodes with nothing but this script.
srun --overlap --cpu-bind none --nodes 1 --ntasks 1 --nodelist "$HEAD" bash "$SCRIPTS/ray_start_head.sh" --block &
HEAD_STEP=$!
wait_for_nodes 1
if ((NODES > 1)); then
    srun --overlap --cpu-bind none --nodes $((NODES - 1)) --ntasks $((NODES - 1)) --exclude "$HEAD" \
        bash "$SCRIPTS/ray_start_worker.sh" "$HEAD:$PORT" --block &
    wait_for_nodes "$NODES"
fi

# The job saves and ends, `ray job submit` with it. Slurm's own signal goes to this script alone.
SAVING=
# shellcheck disable=SC2329 # the trap calls it
save() {
    SAVING=1
    echo "Told to stop: the job saves a checkpoint"
    ray job stop "$SUBMISSION_ID" &
}
trap save TERM USR1

# In the background, because bash handles a signal at once only while it waits.
bash "$TRAIN" "$@" --ckpt.load_enable &
SUBMIT=$!
STATUS=0
wait "$SUBMIT" || STATUS=$?
# A signal ends the wait, not the job.
while kill -0 "$SUBMIT" 2>/dev/null; do
    wait "$SUBMIT" || STATUS=$?
done

died_and_may_go_on() {
    local died=slurm-$SLURM_JOB_ID.died
    ((STATUS == 75 || STATUS >= 137)) || return 1
    echo "$STATUS" >>"$died"
    (($(wc -l <"$died") <= LIMIT))
}

if [[ -n $SAVING ]] || died_and_may_go_on; then
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$STATUS"
