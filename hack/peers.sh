#!/bin/sh
# Makes .venv-bench: what .venv holds, and other trainers beside it, in the versions of tests/bench/peers.txt.
set -eu
.venv/bin/python -m venv --clear --without-pip .venv-bench
.venv-bench/bin/python - <<'PYTHON'
import subprocess
import sysconfig
from pathlib import Path

ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
shared = subprocess.check_output([".venv/bin/python", "-c", ask], text=True).strip()
Path(sysconfig.get_path("purelib"), "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
PYTHON
# pip, not uv: it sees that torch and the rest are there already.
.venv/bin/python -m pip --quiet --disable-pip-version-check --python .venv-bench/bin/python install -r tests/bench/peers.txt
touch .venv-bench/.ready
