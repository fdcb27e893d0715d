#!/usr/bin/env bash
# Makes .venv in the repository's root with everything that training and the tests need on a CPU.
#
#     bash examples/scripts/setup_cpu.sh
#
# Takes about a minute the first time by uv, which is installed into .venv where the PATH has none, minutes by pip if uv
# cannot be had; then a moment. Needs Linux and Python 3.11; PYTHON=/path/to/python3.11 names one that the PATH lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

LOCK=requirements/cpu.txt
PYTHON_VERSIONS=(3.11)
TORCH_INDEX=https://download.pytorch.org/whl/cpu
# shellcheck source=examples/scripts/setup_common.sh
source examples/scripts/setup_common.sh

# By pip, which alone knows all the sources that it was configured with. PyPI's own build is for CUDA and very large, so
# the build that calls itself +cpu is asked for first: from pip's sources, then from PyTorch. Last comes a mirror whose
# CPU build bears no label. Modules are compiled at the end, on all cores.
install_torch() {
    local torch
    torch=$(grep '^torch==' "$LOCK")
    [[ $(torch_build) != cpu ]] || return 0
    pip_install --quiet --no-compile "$torch+cpu" 2>/dev/null ||
        pip_install --no-compile --index-url "$TORCH_INDEX" "$torch+cpu" ||
        pip_install --no-compile "$torch" || true
    [[ $(torch_build) == cpu ]] ||
        fail "found no CPU build of ${torch/==/ }, neither in pip's sources nor in $TORCH_INDEX:" \
            "install one with '.venv/bin/pip install --no-deps WHEEL' and run this again"
}

main() {
    ! is_set_up || return 0
    ! compgen -G ".venv/lib/python3*/site-packages/vllm-*.dist-info" >/dev/null ||
        fail ".venv is what setup_gpu.sh makes, and packages for CPUs would break it: use it as it is" \
            "(tests: '.venv/bin/python -m pytest'), or set up another clone"
    echo "Setting up .venv: about 3 GB on disk, a minute or two the first time"
    choose_python
    make_environment
    echo "[1/3] torch, CPU build"
    install_torch
    echo "[2/3] packages of $LOCK"
    install_lock
    echo "[3/3] prepo_rlhf"
    finish
}

main
