#!/bin/sh
# Makes the virtual environment that the Makefile's commands run in: sh scripts/prepare.sh DIR
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "pi-stack needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1)." >&2
    exit 1
}
echo "Preparing $venv (once) ..." >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "'$python -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
}
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    [ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
    uv=$venv/bin/uv
fi
"$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements/dev.txt
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
