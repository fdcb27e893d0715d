#!/usr/bin/env bash
# Joins this machine to the Ray cluster that ray_start_head.sh started on another.
#
#     bash examples/scripts/ray_start_worker.sh HEAD[:PORT] [options of ray start]
#
# The machine needs the same Python environment, and the same paths for model, data and records.
set -euo pipefail

if [[ $# -eq 0 || $1 == -* ]]; then
    echo "usage: ray_start_worker.sh HEAD[:PORT] [options of ray start]" >&2
    exit 2
fi
HEAD=$1
shift
[[ $HEAD == *:* ]] || HEAD=$HEAD:6379
exec ray start --address "$HEAD" --disable-usage-stats "$@"
