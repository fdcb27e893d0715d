#!/usr/bin/env bash
# Sets up the environment, checks style, direction of imports and types, and runs one of three tiers of tests, by folder:
#
#     bash tests/run.sh --quick    unit, contract and hostile tests, without Ray: 3 minutes on 2 cores
#     bash tests/run.sh            also jobs on the real stack: 20 minutes
#     bash tests/run.sh --long     also the long ones: two hours
#
# Other options are passed on to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick() { # without Ray, on both cores at once; jobs of the other tiers use all cores by themselves
    OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q --quick -n 2 "$@"
}

bash examples/scripts/setup_cpu.sh
.venv/bin/ruff check .
.venv/bin/lint-imports
.venv/bin/pyrefly check
case " $* " in
*" --quick "*) quick "$@" ;;
"  ") quick && .venv/bin/python -m pytest -q -m stack ;;
*) .venv/bin/python -m pytest -q "$@" ;;
esac
