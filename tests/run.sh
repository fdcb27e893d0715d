#!/usr/bin/env bash
# Sets up the environment, checks the style and runs all tests; options are passed on to pytest:
#
#     bash tests/run.sh -m "not slow"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash examples/scripts/setup_cpu.sh
.venv/bin/ruff check .
.venv/bin/python -m pytest -q "$@"
