"""kubectl against a control plane of this bed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from testbed.control_plane import ControlPlane
from testbed.programs import find

_TIMEOUT = 60.0  # seconds; a bound against hanging


class Kubectl:
    """Runs kubectl, as the administrator or by another kubeconfig. `content` is what it reads with `-f -`."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path | None = None) -> None:
        self.command = [str(find("kubectl")["kubectl"]), f"--kubeconfig={kubeconfig or plane.kubeconfig()}"]

    def __call__(self, *args: str, content: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *args], input=content, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )

    def started(self, *args: str) -> subprocess.Popen[str]:
        """One that goes on, such as `logs -f`; leaving its `with` statement waits for its end."""
        return subprocess.Popen([*self.command, *args], stdout=subprocess.PIPE, text=True)
