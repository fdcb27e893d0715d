# shellcheck shell=bash
# What the scripts share that train on this machine's CPU, on a Ray of their own; they source it, nobody runs it. They are
# in the repository's root by then. It sets up .venv and its environment; then
#
#     read_options COMMAND ...    sets RUN_DIR, the folder of the job's records, and EFFECTIVE, all of its options
#     run_step COMMAND ...        runs it; it ends when the script is ended
#     run_job COMMAND ...         starts Ray, submits the job and waits for it; that Ray is stopped when the script ends
ROOT=$PWD
ME=$(basename "$0")

bash examples/scripts/setup_cpu.sh
export PATH=$ROOT/.venv/bin:$PATH NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
unset RAY_ADDRESS RAY_API_SERVER_ADDRESS
# Ray would give each actor one thread, but policy and engine take turns on the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
# Silences a warning about a future default of Ray, which is without effect on a CPU.
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
# A stopped job has this long to finish its step and save it before Ray kills it; Ray's own 3 seconds are too short.
export RAY_JOB_STOP_WAIT_TIME_S=60

# An ill-formed option is found here. Without a run folder the options ask for something else, such as --help.
read_options() {
    EFFECTIVE=$("$@" --print_config)
    RUN_DIR=$(sed -n 's/^  run_dir: //p' <<<"$EFFECTIVE")
    [[ -n $RUN_DIR ]] || exec "$@"
}

# Bash passes no signal on to a command, and answers one at once only while it waits.
run_step() {
    "$@" &
    local step=$!
    trap 'kill "$step" 2>/dev/null || true; exit 130' INT
    trap 'kill "$step" 2>/dev/null || true; exit 143' TERM HUP
    wait "$step"
    trap - INT TERM HUP
}

# Free ports and a folder of its own keep this Ray apart from any other on the machine. With --block all its processes
# end with `ray start`; setsid keeps Ctrl-C from reaching them before the job has been stopped.
run_job() {
    local port dashboard_port agent_port client_port
    read -r port dashboard_port agent_port client_port < <(free_ports)
    ADDRESS=http://127.0.0.1:$dashboard_port
    JOB_ID=prepo-$$
    RAY_DIR=$(mktemp -d /tmp/prepo-XXXXXX)
    HEAD_PID=
    SUBMIT_PID=
    trap stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    echo "Starting Ray"
    setsid ray start --head --block --disable-usage-stats --num-cpus 4 --num-gpus 2 --object-store-memory 500000000 \
        --port "$port" --dashboard-host 127.0.0.1 --dashboard-port "$dashboard_port" \
        --dashboard-agent-listen-port "$agent_port" --ray-client-server-port "$client_port" \
        --temp-dir "$RAY_DIR" >"$RAY_DIR/head.log" 2>&1 &
    HEAD_PID=$!
    until (: <"/dev/tcp/127.0.0.1/$dashboard_port") 2>/dev/null; do
        kill -0 "$HEAD_PID" 2>/dev/null || { cat "$RAY_DIR/head.log" >&2 && exit 1; }
        sleep 0.5
    done

    # In the background, because bash handles a signal at once only while it waits.
    ray job submit --address "$ADDRESS" --submission-id "$JOB_ID" -- "$@" &
    SUBMIT_PID=$!
    wait "$SUBMIT_PID"
}

free_ports() {
    python - <<'PYTHON'
import socket

sockets = [socket.socket() for _ in range(4)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

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
    *) echo "$ME: failed; Ray's logs are in $RAY_DIR" >&2 ;;
    esac
    exit "$status"
}
