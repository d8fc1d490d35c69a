"""How kopf reaches the API server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness.answers import write_kubeconfig

from pet_operator.adapters.kopf_shell import connection
from pet_operator.kube.credentials import load_credentials


def test_it_is_given_what_the_kubeconfig_says(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://server", cluster={"proxy-url": "http://proxy:3128"}, token="secret")
    info = asyncio.run(connection(asyncio.run(load_credentials(path))))
    assert (info.server, info.proxy_url, info.scheme, info.token) == (
        "https://server", "http://proxy:3128", "Bearer", "secret"
    )  # fmt: skip
