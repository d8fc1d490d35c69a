"""Programs in namespaces of their own, where they may do to a network or to disks what needs rights elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

from harness.training import ROOT


def run_beside(namespace: str, module: str, *arguments: str, seconds: float) -> str:
    """Run a module of the tests in a `namespace` of its own, net or mount; what it printed.

    Raises AssertionError if it fails, or if no user of this machine may have such a namespace.
    """
    beside = ["unshare", "--map-root-user", f"--{namespace}"]
    asked = subprocess.run([*beside, "true"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, f"needs user and {namespace} namespaces: {' '.join(beside)} says: {asked.stderr}"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("trainer", "tests"))}
    done = subprocess.run([*beside, sys.executable, "-u", "-m", module, *arguments], cwd=ROOT, env=environ, text=True,
                          timeout=seconds, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout
