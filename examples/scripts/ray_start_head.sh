#!/usr/bin/env bash
# Starts Ray on the first machine of a cluster; the others follow with ray_start_worker.sh.
#
#     bash examples/scripts/ray_start_head.sh [options of ray start]
#
# Whoever reaches the dashboard can run commands here, so it listens on this machine alone. DASHBOARD_HOST=0.0.0.0 opens
# it to the network; `ssh -L 8265:127.0.0.1:8265` is the safer way from another machine. PORT is where workers join.
set -euo pipefail

# A stopped job has this long to save a checkpoint before Ray kills it; Ray's own 3 seconds are too short.
export RAY_JOB_STOP_WAIT_TIME_S=${RAY_JOB_STOP_WAIT_TIME_S:-240}
# A node that does not answer, being busy or frozen, is dead after five times this and the pauses between: 165 seconds.
# By Ray's own 10 seconds it would be after 66. One whose Ray has died is noticed sooner: its port refuses.
export RAY_health_check_timeout_ms=${RAY_health_check_timeout_ms:-30000}
exec ray start --head --disable-usage-stats --port "${PORT:-6379}" \
    --dashboard-host "${DASHBOARD_HOST:-127.0.0.1}" --dashboard-port "${DASHBOARD_PORT:-8265}" "$@"
