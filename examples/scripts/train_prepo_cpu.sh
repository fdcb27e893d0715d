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
ROOT=$PWD

bash examples/scripts/setup_cpu.sh
export PATH=$ROOT/.venv/bin:$PATH NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
unset RAY_ADDRESS RAY_API_SERVER_ADDRESS
# Ray would give each actor one thread, but policy and engine take turns on the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
# Silences a warning about a future default of Ray, which is without effect on a CPU.
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
# A stopped job has this long to finish its step and save it before Ray kills it; Ray's own 3 seconds are too short.
export RAY_JOB_STOP_WAIT_TIME_S=60

TASK=$ROOT/examples/arithmetic
MODEL=$TASK/checkpoints/mid
DATA=$ROOT/runs/arithmetic_data
JOB=(python -m prepo_rlhf.cli.train_prepo_ray --config "$ROOT/examples/recipes/prepo_cpu.yaml" "$@")

# An ill-formed option is found here. Without a run folder the options ask for something else, such as --help.
EFFECTIVE=$("${JOB[@]}" --print_config)
RUN_DIR=$(sed -n 's/^  run_dir: //p' <<<"$EFFECTIVE")
[[ -n $RUN_DIR ]] || exec "${JOB[@]}"

[[ -f $MODEL/config.json ]] || python "$TASK/base_model.py" --kind mid --output_dir "$MODEL"
python "$TASK/make_data.py" --output_dir "$DATA" --train_size 2400 --heldout_size 240 --seed 0

# Free ports and a folder of its own keep this Ray apart from any other on the machine. With --block all its processes
# end with `ray start`; setsid keeps Ctrl-C from reaching them before the job has been stopped.
read -r PORT DASHBOARD_PORT AGENT_PORT CLIENT_PORT < <(python - <<'PYTHON'
import socket

sockets = [socket.socket() for _ in range(4)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
)
ADDRESS=http://127.0.0.1:$DASHBOARD_PORT
JOB_ID=prepo-$$
RAY_DIR=$(mktemp -d /tmp/prepo-XXXXXX)
HEAD_PID=
SUBMIT_PID=

stop() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n $SUBMIT_PID ]] && kill -0 "$SUBMIT_PID" 2>/dev/null; then
        echo "Stopping the job after its step ..."
        kill "$SUBMIT_PID" 2>/dev/null || true
        ray job stop --address "$ADDRESS" "$JOB_ID" >>"$RAY_DIR/head.log" 2>&1 || true
    fi
    if [[ -n $HEAD_PID ]]; then
        kill "$HEAD_PID" 2>/dev/null || true
        wait "$HEAD_PID" 2>/dev/null || true
    fi
    case $status in
    0 | 130 | 143) rm -rf "$RAY_DIR" ;;
    *) echo "train_prepo_cpu.sh: failed; Ray's logs are in $RAY_DIR" >&2 ;;
    esac
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

echo "Starting Ray"
setsid ray start --head --block --disable-usage-stats --num-cpus 4 --num-gpus 2 --object-store-memory 500000000 \
    --port "$PORT" --dashboard-host 127.0.0.1 --dashboard-port "$DASHBOARD_PORT" \
    --dashboard-agent-listen-port "$AGENT_PORT" --ray-client-server-port "$CLIENT_PORT" \
    --temp-dir "$RAY_DIR" >"$RAY_DIR/head.log" 2>&1 &
HEAD_PID=$!
until (: <"/dev/tcp/127.0.0.1/$DASHBOARD_PORT") 2>/dev/null; do
    kill -0 "$HEAD_PID" 2>/dev/null || { cat "$RAY_DIR/head.log" >&2 && exit 1; }
    sleep 0.5
done

# In the background, because bash handles a signal at once only while it waits.
ray job submit --address "$ADDRESS" --submission-id "$JOB_ID" -- "${JOB[@]}" &
SUBMIT_PID=$!
wait "$SUBMIT_PID"

python -m prepo_rlhf.cli.summary "$RUN_DIR"
echo "Records: $(realpath "$RUN_DIR")"
