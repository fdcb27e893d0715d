#!/usr/bin/env bash
# Measures and tests what needs a GPU, on one GPU, in 8 minutes at most; each part leaves a JSON file in runs/gpu.
#
#     bash benchmarks/gpu.sh                             # all parts; without a GPU with tiny shapes
#     bash benchmarks/gpu.sh --parts engine,steps --output FOLDER --minutes 8
#     PYTHON=/path/to/python bash benchmarks/gpu.sh      # a Python that has torch and the packages of the lock
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=python3
    [[ ! -x .venv/bin/python ]] || PYTHON=.venv/bin/python
fi
exec "$PYTHON" benchmarks/gpu/run.py "$@"
