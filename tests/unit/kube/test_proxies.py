"""By which proxy a server is reached, as kubectl does it: by Go's reading of HTTPS_PROXY and NO_PROXY."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from harness.answers import write_kubeconfig
from kubernetes.aio.config import ConfigException

from pet_operator.kube.credentials import load_credentials
from pet_operator.kube.proxies import proxy_of

PROXY = "http://proxy:3128"
NAMED, NUMBERED = "https://api.corp.example:6443", "https://10.96.0.1"


@pytest.mark.parametrize(
    ("server", "environ", "found"),
    [
        (NAMED, {"HTTPS_PROXY": PROXY}, ("HTTPS_PROXY", PROXY)),
        (NAMED, {"https_proxy": PROXY}, ("https_proxy", PROXY)),
        (NAMED, {"HTTPS_PROXY": "proxy:3128"}, ("HTTPS_PROXY", PROXY)),
        (NAMED, {"HTTPS_PROXY": ""}, None),
        (NAMED, {"HTTP_PROXY": PROXY}, None),
        ("http://api.corp.example", {"HTTP_PROXY": PROXY}, ("HTTP_PROXY", PROXY)),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://127.0.0.2:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, None),
    ],
)
def test_the_variable_of_the_scheme_counts(server: str, environ: dict[str, str], found: tuple[str, str] | None) -> None:
    assert proxy_of(server, environ) == found


@pytest.mark.parametrize(
    ("exceptions", "excepted"),
    [
        ("*", {NAMED, NUMBERED}),
        ("corp.example", {NAMED}),
        (" other , CORP.example ,", {NAMED}),
        ("api.corp.example", {NAMED}),
        (".corp.example", {NAMED}),
        ("*.corp.example", {NAMED}),
        (".api.corp.example", set()),
        ("orp.example", set()),
        ("api.corp.example:6443", {NAMED}),
        ("api.corp.example:443", set()),
        ("10.96.0.1", {NUMBERED}),
        ("10.96.0.1:443", {NUMBERED}),
        ("10.96.0.1:6443", set()),
        ("10.96.0.0/12,nonsense/x", {NUMBERED}),
        ("10.0.0.0/16", set()),
        (".10.96.0.1", set()),
    ],
)
def test_no_proxy_takes_servers_out(exceptions: str, excepted: set[str]) -> None:
    environ = {"HTTPS_PROXY": PROXY, "no_proxy": exceptions}
    assert {server for server in (NAMED, NUMBERED) if proxy_of(server, environ) is None} == excepted


def test_the_kubeconfig_s_own_proxy_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    own = write_kubeconfig(tmp_path, NAMED, cluster={"proxy-url": "http://own:1"})
    assert asyncio.run(load_credentials(own)).proxy == "http://own:1"
    assert asyncio.run(load_credentials(write_kubeconfig(tmp_path, NAMED))).proxy == PROXY


def test_a_proxy_of_another_kind_is_refused_by_the_name_of_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy")
    with pytest.raises(ConfigException, match="HTTPS_PROXY is no http://HOST:PORT") as refused:
        asyncio.run(load_credentials(write_kubeconfig(tmp_path, NAMED)))
    assert "secret" not in str(refused.value)
