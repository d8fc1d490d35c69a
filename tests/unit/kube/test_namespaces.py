"""An operator of some namespaces: each is listed and watched by itself, so that a role in each is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.api_faults import Faults
from harness.http_api import HttpApi
from harness.memory_api import MemoryApi, refuse

from pet_operator.domain.constants import NODE, POD
from pet_operator.kube.credentials import load_credentials
from pet_operator.kube.gateway import KubeGateway
from pet_operator.kube.merging import merged
from pet_operator.runtime.ports import ApiError


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """With sockets, so its clock is the real one."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def numbers(*given: int | Exception) -> AsyncIterator[int]:
    for each in given:
        if isinstance(each, Exception):
            raise each
        yield each
        await asyncio.sleep(0)


@in_a_loop
async def test_streams_are_merged_until_all_have_ended() -> None:
    assert sorted([each async for each in merged([numbers(1, 2), numbers(), numbers(3)])]) == [1, 2, 3]


@in_a_loop
async def test_the_first_that_fails_ends_all() -> None:
    streams = merged([numbers(*range(1000)), numbers(ConnectionError("away"))])
    with pytest.raises(ConnectionError):
        _ = [each async for each in streams]
    assert [each async for each in streams] == []


def put(api: MemoryApi, namespace: str, name: str, **labels: str) -> None:
    api.put(POD, {"metadata": {"name": name, "namespace": namespace, "labels": labels}})


@asynccontextmanager
async def served(tmp_path: Path, *namespaces: str) -> AsyncIterator[tuple[MemoryApi, HttpApi, KubeGateway]]:
    """A gateway that looks after these namespaces, and its API server with a pod `first` in each of a, b and c."""
    api = MemoryApi()
    for namespace in "abc":
        put(api, namespace, "first")
    http = HttpApi(api, Faults())
    runner, server = await http.start()
    kubeconfig = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump(content))
    async with KubeGateway(await load_credentials(str(kubeconfig)), frozenset(namespaces)) as gateway:
        yield api, http, gateway
    await runner.cleanup()


@pytest.mark.parametrize(
    ("namespaces", "paths"),
    [
        ((), {"/api/v1/pods"}),
        (("a",), {"/api/v1/namespaces/a/pods"}),
        (("a", "b"), {"/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"}),
    ],
)
@in_a_loop
async def test_only_what_is_looked_after_is_read(tmp_path: Path, namespaces: tuple[str, ...], paths: set[str]) -> None:
    async with served(tmp_path, *namespaces) as (api, http, gateway):
        pages = [page async for page in gateway.pages(POD, "")]
        assert {pod["metadata"]["namespace"] for page in pages for pod in page.items} == set(namespaces or "abc")
        assert {page.resource_version for page in pages} == {str(api.version)}
        events = gateway.watch(POD, "", str(api.version))
        for namespace in "abc":
            put(api, namespace, "second")
        told = [(await anext(events))[1]["metadata"]["namespace"] for _ in namespaces or "abc"]
        assert sorted(told) == sorted(namespaces or "abc")
        await events.aclose()  # type: ignore[attr-defined]
        assert http.read == paths


@in_a_loop
async def test_nodes_are_the_cluster_s(tmp_path: Path) -> None:
    async with served(tmp_path, "a", "b") as (_, http, gateway):
        assert [page.items async for page in gateway.pages(NODE, "")] == [[]]
        assert http.read == {"/api/v1/nodes"}


@in_a_loop
async def test_each_namespace_goes_on_from_its_own_version_after_its_watch_was_closed(tmp_path: Path) -> None:
    async with served(tmp_path, "a", "b") as (api, http, gateway):
        seen: set[tuple[str, str]] = set()
        events = gateway.watch(POD, "", str(api.version))
        for round_ in range(3):
            wanted = {(namespace, f"pod-{round_}") for namespace in "ab"}
            for namespace, name in sorted(wanted):
                put(api, namespace, name)
            put(api, "c", f"pod-{round_}")
            while not wanted <= seen:
                type_, pod = await anext(events)
                if type_ != "BOOKMARK":
                    seen.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))
            http.cut_watches()
        await events.aclose()  # type: ignore[attr-defined]
        assert {namespace for namespace, _ in seen} == {"a", "b"}


@in_a_loop
async def test_what_may_not_be_read_in_one_of_them_is_said(tmp_path: Path) -> None:
    async with served(tmp_path, "a", "b") as (api, _, gateway):
        api.fault = refuse(403, "Forbidden", verbs="list")
        with pytest.raises(ApiError):
            _ = [page async for page in gateway.pages(POD, "")]
