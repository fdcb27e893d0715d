#!/usr/bin/env bash
# Makes .venv in the repository's root with everything that training and the tests need on a CPU.
#
#     bash examples/scripts/setup_cpu.sh
#
# Takes a few minutes the first time and a moment from then on. Needs Linux and Python 3.11; PYTHON=/path/to/python3.11
# names one that is not on the PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PYTHON=${PYTHON:-python3.11}
TORCH_VERSION=2.13.0
TORCH_INDEX=https://download.pytorch.org/whl/cpu
LOCK=requirements/cpu.txt
STAMP=.venv/.prepo-setup

fail() {
    echo "setup_cpu.sh: $*" >&2
    exit 1
}

# The folder counts too: an environment that was copied or moved does not work.
fingerprint() {
    { pwd && cat "$LOCK" setup.py pyproject.toml examples/scripts/setup_cpu.sh; } | sha256sum
}

pip_install() {
    .venv/bin/python -m pip install --no-deps --disable-pip-version-check --no-input "$@"
}

make_environment() {
    [[ $("$PYTHON" -c 'import sys; print(*sys.version_info[:2])' 2>&1) == "3 11" ]] ||
        fail "this needs Python 3.11, and '$PYTHON' is none: install it (for instance" \
            "'apt install python3.11 python3.11-venv' or 'uv python install 3.11')," \
            "or say where it is with PYTHON=/path/to/python3.11"
    "$PYTHON" -c "import ensurepip, venv" 2>/dev/null ||
        fail "'$PYTHON' cannot make virtual environments: install its venv module" \
            "(for instance 'apt install python3.11-venv')"
    "$PYTHON" -m venv --clear .venv
}

has_cpu_torch() {
    .venv/bin/python - "$TORCH_VERSION" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, distribution

try:
    torch = distribution("torch")
except PackageNotFoundError:
    sys.exit(1)
needs_cuda = any(name.startswith(("nvidia", "cuda")) for name in torch.requires or ())
sys.exit(needs_cuda or torch.version.split("+")[0] != sys.argv[1])
PYTHON
}

# PyPI's own build is for CUDA and very large, so the build that calls itself +cpu is asked for first: from pip's
# configured sources, then from PyTorch. Last comes a mirror whose CPU build bears no label.
install_torch() {
    has_cpu_torch && return
    pip_install --quiet "torch==$TORCH_VERSION+cpu" 2>/dev/null ||
        pip_install --index-url "$TORCH_INDEX" "torch==$TORCH_VERSION+cpu" ||
        pip_install "torch==$TORCH_VERSION" || true
    has_cpu_torch || fail "found no CPU build of torch $TORCH_VERSION, neither in pip's sources nor in $TORCH_INDEX:" \
        "install one with '.venv/bin/pip install --no-deps WHEEL' and run this again"
}

install_lock() {
    local total seen=0 line
    total=$(grep -c == "$LOCK")
    pip_install -r "$LOCK" | while read -r line; do
        case $line in
        Collecting* | "Requirement already satisfied"*)
            seen=$((seen + 1))
            ((seen % 20)) || echo "      $seen of $total packages found"
            ;;
        Installing*) echo "      installing $total packages (a minute or two)" ;;
        esac
    done
}

main() {
    [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]] && return
    echo "Setting up .venv: about 3 GB on disk, a few minutes the first time"
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || make_environment
    echo "[1/3] torch, CPU build"
    install_torch
    echo "[2/3] packages of $LOCK"
    install_lock
    echo "[3/3] prepo_rlhf"
    pip_install --quiet --no-build-isolation --editable .
    fingerprint >"$STAMP"
    echo "Set up: $PWD/.venv"
}

main
