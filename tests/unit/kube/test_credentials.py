"""What a kubeconfig says of the server, the namespace and the user."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from harness.answers import answering, write_kubeconfig
from kubernetes.aio.config import ConfigException
from testbed.pki import Authority

from pet_operator.domain.constants import JOB
from pet_operator.kube.credentials import load_credentials
from pet_operator.kube.gateway import KubeGateway

SERVER = "https://elsewhere.invalid:6443"
PATH = "/apis/pet.dev/v1/pettrainingjobs"


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


async def asked_twice(kubeconfig: str) -> None:
    """One request, and one watch."""
    async with KubeGateway(await load_credentials(kubeconfig)) as gateway:
        await gateway.list(JOB, "")
        assert [event async for event in gateway.watch(JOB, "", "1")] == []


def test_a_proxy_is_asked_in_place_of_the_server(tmp_path: Path) -> None:
    with answering() as proxy:
        proxy.give({"items": [], "metadata": {"resourceVersion": "1"}})
        proxy.give("")
        asyncio.run(
            asked_twice(write_kubeconfig(tmp_path, "http://elsewhere.invalid", cluster={"proxy-url": proxy.url}))
        )
    assert [url.partition("?")[0] for url in proxy.asked] == [f"http://elsewhere.invalid{PATH}"] * 2


def test_a_certificate_is_of_the_name_that_the_kubeconfig_gives(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cluster = {"certificate-authority": str(authority.certificate_file), "tls-server-name": "inside.example"}
    with answering(authority.serving("server", ["inside.example"])) as proxy:
        proxy.give({"items": [], "metadata": {"resourceVersion": "1"}})
        proxy.give("")
        cluster["proxy-url"] = proxy.url
        asyncio.run(asked_twice(write_kubeconfig(tmp_path, SERVER, cluster=cluster)))
        assert [path.partition("?")[0] for path in proxy.asked] == ["elsewhere.invalid:6443", PATH] * 2
        cluster["tls-server-name"] = "another.example"
        with pytest.raises(OSError, match=r"another\.example"):
            asyncio.run(asked_twice(write_kubeconfig(tmp_path, SERVER, cluster=cluster)))


@pytest.mark.parametrize(
    "address", ["socks5://proxy:1080", "proxy:3128", "http://", "http://proxy:x", "http://[", 3128]
)
def test_a_proxy_that_cannot_be_used_is_refused(address: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigException, match="proxy-url of cluster c is no http://HOST:PORT or https://HOST:PORT"):
        asyncio.run(load_credentials(write_kubeconfig(tmp_path, SERVER, cluster={"proxy-url": address})))


def test_the_password_of_a_proxy_is_not_told(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, SERVER, cluster={"proxy-url": "socks5://me:secret@proxy:1080"})
    with pytest.raises(ConfigException) as refused:
        asyncio.run(load_credentials(path))
    assert "secret" not in str(refused.value)
