# shellcheck shell=bash
# What the two set-up scripts share; they source it, nobody runs it: an environment in .venv, a lock's packages in it by
# uv or pip, and a stamp once all of it is there. They are in the repository's root by then, and set before:
#
#     LOCK             the file with the packages' versions
#     PYTHON_VERSIONS  those that it is for, the preferred one first
STAMP=.venv/.prepo-setup
ME=$(basename "$0")

# A package manager that handles Ctrl-C itself ends like one that failed, after which a script would go on.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
    echo "$ME: $*" >&2
    exit 1
}

# The folder counts too: an environment that was copied or moved does not work.
fingerprint() {
    { pwd && cat "$LOCK" setup.py pyproject.toml "examples/scripts/$ME" examples/scripts/setup_common.sh; } | sha256sum
}

is_set_up() {
    [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]
}

pip_install() {
    .venv/bin/python -m pip install --no-deps --disable-pip-version-check --no-input "$@"
}

python_fits() {
    local code='import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])'
    "$1" -c "$code" "${PYTHON_VERSIONS[@]}" 2>/dev/null
}

# PYTHON if it is set, else the first version that this machine has.
choose_python() {
    local version
    for version in "${PYTHON_VERSIONS[@]}"; do
        [[ -n ${PYTHON:-} ]] || ! python_fits "python$version" || PYTHON=python$version
    done
    PYTHON=${PYTHON:-python${PYTHON_VERSIONS[0]}}
}

# What is wrong with PYTHON, if anything is.
python_problem() {
    local wanted=${PYTHON_VERSIONS[*]} newest=${PYTHON_VERSIONS[0]}
    if ! python_fits "$PYTHON"; then
        echo "this needs Python ${wanted// / or }, and '$PYTHON' is none: install it (for instance" \
            "'apt install python$newest python$newest-venv' or 'uv python install $newest')," \
            "or say where it is with PYTHON=/path/to/python$newest"
    elif ! "$PYTHON" -c "import ensurepip, venv" 2>/dev/null; then
        echo "'$PYTHON' cannot make virtual environments: install its venv module" \
            "(for instance 'apt install python$newest-venv')"
    fi
}

# A new environment, unless there is one of a fitting Python with pip in it.
make_environment() {
    local problem
    if python_fits .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        remove_half_installed
        return
    fi
    problem=$(python_problem)
    [[ -z $problem ]] || fail "$problem"
    "$PYTHON" -m venv --clear .venv
}

# A package that an interrupted run left without some of its files bears its name and version all the same, and would
# count as installed. Without its metadata it does not.
remove_half_installed() {
    .venv/bin/python -I - <<'PYTHON'
import shutil
import sysconfig
from importlib.metadata import distributions

for found in distributions(path=[sysconfig.get_path("purelib")]):
    files = found.files or []
    if not files or any(not file.locate().exists() for file in files if file.suffix != ".pyc"):
        shutil.rmtree(found._path, ignore_errors=True)
PYTHON
}

# "cpu" or "cuda", the build of TORCH_VERSION that is installed, by what it requires; nothing if there is none.
torch_build() {
    .venv/bin/python -I - "$(sed -n 's/^torch==//p' "$LOCK")" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, distribution

try:
    torch = distribution("torch")
except PackageNotFoundError:
    sys.exit()
if torch.version.split("+")[0] == sys.argv[1]:
    needs_cuda = any(name.startswith(("nvidia", "cuda")) for name in torch.requires or ())
    print("cuda" if needs_cuda else "cpu")
PYTHON
}

# uv installs in seconds what takes pip minutes. Prints where it is, on the PATH or in .venv; fails if there is none.
find_uv() {
    command -v uv && return
    [[ -x .venv/bin/uv ]] || pip_install --quiet "$(grep '^uv==' "$LOCK")" >/dev/null 2>&1 || return
    echo .venv/bin/uv
}

# uv does not read pip's settings: where they name an index, and nothing names one for uv, it gets pip's.
give_uv_pips_index() {
    local section index=${PIP_INDEX_URL:-}
    [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] || return 0
    for section in install global; do
        [[ -n $index ]] || index=$(.venv/bin/python -m pip config get "$section.index-url" 2>/dev/null) || true
    done
    [[ -z $index ]] || export UV_DEFAULT_INDEX=$index
}

# All packages of the lock: what is there already stays, the build of torch included.
install_lock() {
    local uv total
    total=$(grep -c == "$LOCK")
    if uv=$(find_uv); then
        echo "      $total packages, by uv"
        give_uv_pips_index
        install_by_uv "$uv" && return
        echo "      uv could not install them: pip tries it by its own settings"
    fi
    install_by_pip "$total"
}

# Without uv's lists of all that it has downloaded, built and installed.
install_by_uv() {
    "$1" pip install --python .venv/bin/python --no-deps --requirement "$LOCK" 2>&1 |
        sed --unbuffered --regexp-extended '/^ *([-+~]|Downloaded|Building|Built) /d; s/^ */      /'
}

install_by_pip() {
    local total=$1 seen=0 line
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

# What uv and pip's --no-compile leave to the first import. Where PYTHONDONTWRITEBYTECODE is set, as in many containers, it
# would be left to every import of every process of a job. Files that are no Python 3, as some packages have, are passed over.
compile_modules() {
    .venv/bin/python -m compileall -qq -j 0 .venv/lib/python3*/site-packages || true
}

# The project itself, its modules' bytecode, and the stamp, which is there only if all before it went well.
finish() {
    pip_install --quiet --no-build-isolation --editable .
    compile_modules
    fingerprint >"$STAMP"
    echo "Set up: $PWD/.venv"
}
