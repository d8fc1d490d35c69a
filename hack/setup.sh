#!/bin/sh
# Makes .venv from requirements.lock. Usage: setup.sh PYTHON [TORCH_INDEX]
# With TORCH_INDEX, torch and torchvision come from that index, and what only their CUDA builds need is left out.
set -eu
python=$1 torch_index=${2:-}
uv_version=0.13.9

"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
uv="env VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install"
# A machine that names its own package index names it for pip.
if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
fi

if [ -z "$torch_index" ]; then
    $uv --require-hashes -r requirements.lock
else
    awk '/^[a-z]/ { keep = !/^(torch|torchvision|triton|nvidia-|cuda-)/ } keep' requirements.lock >.venv/without-torch.lock
    $uv --require-hashes -r .venv/without-torch.lock
    # shellcheck disable=SC2046 # two requirements, two words
    $uv --no-deps --index-url "$torch_index" \
        $(awk '/^(torch|torchvision)==/ { print $1 }' requirements.lock)
fi
$uv --no-deps --no-build-isolation --editable .

.venv/bin/python - <<'PYTHON'
try:
    import torch, torchvision
except (ImportError, RuntimeError) as error:  # a wrong pair fails with either
    from importlib.metadata import version
    raise SystemExit(f"torch {version('torch')} and torchvision {version('torchvision')} do not fit together: {error}")
PYTHON
touch .venv/.ready
