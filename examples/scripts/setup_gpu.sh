#!/usr/bin/env bash
# Makes .venv in the repository's root with everything that training on NVIDIA GPUs needs; says first what is missing.
#
#     bash examples/scripts/setup_gpu.sh            # 4 GB to download, 9 GB on disk
#     bash examples/scripts/setup_gpu.sh --check    # only says what the machine lacks: status 1 if it lacks anything
#
# By uv, which is installed into .venv where the PATH has none, else by pip. Linux on x86-64, Python 3.11 or 3.12;
# PYTHON=/path/to/python3.12 names one that is not on the PATH. A login node or the build of an image may lack the GPU.
# flash-attn is not among the packages, since the code does without it. With it (it is compiled, for long):
#
#     MAX_JOBS=4 .venv/bin/python -m pip install --no-deps --no-build-isolation flash-attn==2.8.3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

LOCK=requirements/gpu.txt
PYTHON_VERSIONS=(3.11 3.12)
# Where each number comes from: docs/cluster.md, "A GPU machine, in one command".
GLIBC=2.31
DISK_GB=10
DRIVER=580
CUDA=13.0
CAPABILITY=8.0
# shellcheck source=examples/scripts/setup_common.sh
source examples/scripts/setup_common.sh

older() { # whether version $1 is older than version $2
    [[ $1 != "$2" && $(printf '%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]
}

# A line for each reason for which the packages cannot be installed here.
not_installable() {
    local glibc free
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        echo "the packages are built for Linux on x86-64, and this is $(uname -sm)"
    fi
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || glibc="another C library"
    if older "${glibc//[!0-9.]/}" "$GLIBC"; then
        echo "the packages need glibc $GLIBC or newer (Ubuntu 20.04, Debian 11, RHEL 9); this machine has $glibc"
    fi
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    if ((free < DISK_GB)); then
        echo "the packages need $DISK_GB GB of disk, and $PWD has $free GB free"
    fi
    python_problem
}

# A line for each thing that a job needs on the machine that it runs on, and the packages do not bring.
not_runnable() {
    gpu_problems
    toolkit_problem
    if ! command -v g++ >/dev/null; then
        echo "no C++ compiler (g++), which DeepSpeed and Triton use while a job runs: install g++ (RHEL: gcc-c++)"
    fi
    if [[ ! -f $("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)/Python.h ]]; then
        echo "no Python.h for '$PYTHON', which Triton compiles with while a job runs: install python3.x-dev"
    fi
}

gpu_problems() {
    local gpus driver capability
    if ! gpus=$(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null); then
        echo "no NVIDIA driver (nvidia-smi does not answer): CUDA $CUDA, which the packages are built for, needs" \
            "driver $DRIVER or newer"
        return
    fi
    while IFS=', ' read -r driver capability; do
        if older "$driver" "$DRIVER"; then
            echo "NVIDIA driver $driver is too old for CUDA $CUDA, which the packages are built for: install $DRIVER" \
                "or newer"
        fi
        if older "$capability" "$CAPABILITY"; then
            echo "a GPU of compute capability $capability: bfloat16, the default of --ds.param_dtype, needs $CAPABILITY"
        fi
    done < <(sort --unique <<<"$gpus")
}

toolkit_problem() {
    local nvcc release home=${CUDA_HOME:-${CUDA_PATH:-}}
    nvcc=${home:+$home/bin/nvcc}
    nvcc=${nvcc:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
    release=$("$nvcc" --version 2>/dev/null | sed -nE 's/.*release ([0-9.]+).*/\1/p') || release=none
    if [[ $release != "$CUDA" ]]; then
        echo "no CUDA $CUDA toolkit ($nvcc: $release), with whose nvcc DeepSpeed compiles its Adam when a job first" \
            "trains: install cuda-toolkit-${CUDA/./-} and set CUDA_HOME to its folder"
    fi
}

# Prints a heading, and below it the lines that there are.
report() {
    [[ -z $2 ]] || printf '%s: %s\n  - %s\n' "$ME" "$1" "${2//$'\n'/$'\n  - '}" >&2
}

main() {
    local stops lacks
    [[ $# == 0 || $* == --check ]] || fail "$*: the only option is --check"
    choose_python
    if [[ $# == 0 ]] && is_set_up; then
        echo "Set up: $PWD/.venv"
        return
    fi
    stops=$(not_installable) lacks=$(not_runnable)
    report "the packages cannot be installed here:" "$stops"
    report "jobs cannot run on this machine before it has what follows:" "$lacks"
    if [[ $# != 0 ]]; then
        [[ -z $stops$lacks ]] && echo "This machine lacks nothing"
        return
    fi
    [[ -z $stops ]] || exit 1
    [[ -z $lacks ]] || echo "Installing all the same, for a login node or the build of an image"
    install
}

install() {
    echo "Setting up .venv: 4 GB to download, 9 GB on disk"
    make_environment
    [[ $(torch_build) != cpu ]] ||
        fail ".venv is what setup_cpu.sh makes, and packages for GPUs would break it: remove it, or set up another" \
            "clone"
    echo "[1/2] packages of $LOCK"
    install_lock
    [[ $(torch_build) == cuda ]] ||
        fail "the torch that was installed is no CUDA build: do pip's and uv's settings name an index of CPU builds?"
    echo "[2/2] prepo_rlhf"
    finish
}

main "$@"
