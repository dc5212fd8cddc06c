#!/bin/sh
# Brings .venv up to date with requirements.lock, with uv if it is there, else with venv and pip.
# Called by the Makefile, which also points every cache into this folder.
set -eu

VENV=.venv
# pip asks rustc for its version, and rustup answers only after writing to its home.
export RUSTUP_HOME="$PWD/.cache/rustup"

fail() {
    echo "make: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if is_new_enough "$python"; then
            command -v "$python"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; install one (\`apt install python3\`, \`uv python install 3.12\`) or name it: \`make PYTHON=/path/to/python3\`."
}

has_module() {
    "$python" -c "import $1" 2>/dev/null
}

make_venv() {
    rm -rf "$VENV"
    if command -v uv >/dev/null; then
        uv venv --quiet --no-project --python "$python" "$VENV"
    elif has_module ensurepip; then
        "$python" -m venv "$VENV"
    elif has_module virtualenv; then
        "$python" -m virtualenv --quiet "$VENV"
    else
        fail "$python cannot make virtual environments; run \`apt install python3-venv\`, or install uv (https://docs.astral.sh/uv), and try again."
    fi
}

# In both ways: nothing that is not in the lock under its hash, then the project itself, editable.
install_with_uv() {
    export VIRTUAL_ENV="$VENV"
    uv pip sync --quiet --require-hashes requirements.lock
    uv pip install --quiet --no-deps --no-build-isolation --editable .
}

install_with_pip() {
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
    "$VENV/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
    "$VENV/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
}

python=$(find_python)
if ! is_new_enough "$VENV/bin/python"; then
    make_venv
    echo "Setting up $VENV with $("$python" --version); the first time this takes a minute or two."
fi
if command -v uv >/dev/null; then
    install_with_uv
else
    install_with_pip
fi
