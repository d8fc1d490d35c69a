"""What a kubeconfig says of the server, the namespace and the user."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from harness.answers import write_kubeconfig

from pet_operator.kube.credentials import load_credentials


def test_a_token_and_a_namespace(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://server:1/", namespace="vision", token="secret")
    credentials = asyncio.run(load_credentials(path))
    assert (credentials.server, credentials.namespace) == ("https://server:1", "vision")
    assert asyncio.run(credentials.authorization()) == "Bearer secret"


def test_a_plug_ins_token_is_asked_for_again_once_it_has_expired(tmp_path: Path) -> None:
    """Otherwise whoever waits for a job longer than a token lives is turned away in the middle."""
    plug_in = tmp_path / "plug-in"
    plug_in.write_text(
        "#!/bin/sh\n"
        f"echo >> {tmp_path}/calls\n"
        f'printf \'%s\' "$(cat {tmp_path}/credential)" | sed "s/TOKEN/token-$(wc -l < {tmp_path}/calls)/"\n'
    )
    plug_in.chmod(0o755)
    path = write_kubeconfig(
        tmp_path,
        "https://server",
        exec={"apiVersion": "client.authentication.k8s.io/v1", "command": str(plug_in), "interactiveMode": "Never"},
    )

    def valid_until(moment: str) -> None:
        status = {"token": "TOKEN", "expirationTimestamp": moment}
        content = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        (tmp_path / "credential").write_text(json.dumps(content))

    async def tokens() -> list[str | None]:
        valid_until("2000-01-01T00:00:00Z")
        credentials = await load_credentials(path)
        valid_until("3000-01-01T00:00:00Z")
        return [await credentials.authorization() for _ in range(3)]

    assert asyncio.run(tokens()) == ["Bearer token-2"] * 3
