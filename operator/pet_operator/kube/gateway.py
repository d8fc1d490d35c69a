"""The API server over one aiohttp session. Raw JSON both ways: a typed client refuses fields that are newer than it.

The Kubernetes client library costs three times the CPU for each request, which is most of what a write may cost us; it
reads the credentials, and that is all of it that is used.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson

from pet_operator.domain.constants import EVENT, JOB, Kind
from pet_operator.kube.credentials import Credentials
from pet_operator.kube.merging import merged
from pet_operator.runtime.ports import ApiError, Gone, Key, Listing, Manifest

STATUS_MANAGER = "pet-operator-status"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
# Bookmarks come each minute, so a watch that is silent for longer is dead.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=70)
_WATCH_SECONDS = (300, 600)
_UNMARKED_SECONDS = (50, 60)  # Events are not in the API server's watch cache, from which bookmarks come
_WATCH_AGAIN_SECONDS = 1.0
_PAGE = 500
_LINE_BYTES = 4 * 1024 * 1024  # of one event: an object may have 1.5 MiB
_CONNECTIONS = 100
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_ESCAPED_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class KubeGateway:
    """Implements `runtime.ports.Gateway`. Use it in an `async with` statement."""

    def __init__(
        self,
        credentials: Credentials,
        namespaces: frozenset[str] = frozenset(),
        trace: aiohttp.TraceConfig | None = None,
    ) -> None:
        """`namespaces`: those that are looked after; empty: all."""
        self._credentials = credentials
        self._namespaces = namespaces
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=credentials.tls(), limit=_CONNECTIONS),
            proxy=credentials.proxy,
            timeout=_TIMEOUT,
            read_bufsize=_LINE_BYTES,
            trace_configs=[trace] if trace is not None else None,
        )

    async def __aenter__(self) -> KubeGateway:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """POST; returns the object as it is sent, with the metadata that the API server gives it: more is not asked
        for, which saves both sides a third of the work. A field that its kind does not have is refused with 400: a
        user's typing error in a template would be left out in silence otherwise."""
        path = _path(kind, manifest["metadata"]["namespace"])
        made = await self._request("POST", path, manifest, {"fieldValidation": "Strict"}, accept=_METADATA)
        return {**manifest, "metadata": made["metadata"]}

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """The object, None if it does not exist."""
        return await self._unless_absent("GET", _path(kind, key.namespace, key.name))

    async def get_path(self, path: str) -> Manifest | None:
        """Any other object, by its path."""
        return await self._unless_absent("GET", path)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """PUT, if nobody has written since the version that the manifest carries; returns the object."""
        metadata = manifest["metadata"]
        return await self._request("PUT", _path(kind, metadata["namespace"], metadata["name"]), manifest)

    async def delete(self, kind: Kind, key: Key, *, uid: str, grace: int | None = None) -> Manifest | None:
        """Delete the object if it still has this uid; returns it as it goes, None if it is gone at once. `grace`: in
        seconds, other than the object's own; 0 removes a pod of which nobody confirms the end."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace is not None:
            options = {**options, "gracePeriodSeconds": grace}
        answer = await self._request("DELETE", _path(kind, key.namespace, key.name), options)
        return answer if answer.get("kind") == kind.kind else None

    async def apply_status(self, key: Key, status: Manifest, *, uid: str, resource_version: str) -> Manifest:
        """Replace a job's status by a server-side apply, if the job has not changed since this version."""
        body = {
            "apiVersion": JOB.api_version,
            "kind": JOB.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid, "resourceVersion": resource_version},
            "status": status,
        }
        path = f"{_path(JOB, key.namespace, key.name)}/status"
        # By default warnings are made of what the schema does not know, which nobody would read.
        query = {"fieldManager": STATUS_MANAGER, "force": "true", "fieldValidation": "Ignore"}
        return await self._request("PATCH", path, body, query, content_type="application/apply-patch+yaml")

    async def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        """All objects with these labels and fields, in all namespaces that we look after, or of the cluster; at least
        one page. Of several namespaces all are as they were at the version of the first list, or later."""
        version = ""
        for collection in self._collections(kind):
            query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(_PAGE)}
            while True:
                page = await self._request("GET", collection, query=query)
                version = version or page["metadata"]["resourceVersion"]
                yield Listing(page["items"], version)
                if not (token := page["metadata"].get("continue")):
                    break
                query["continue"] = token

    async def list(self, kind: Kind, selector: str) -> list[Manifest]:
        """All of them at once."""
        return [item async for page in self.pages(kind, selector) for item in page.items]

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes since then as (type, object), bookmarks too, until the server closes. Raises Gone."""
        query = {
            "watch": "true",
            "labelSelector": selector,
            "fieldSelector": fields,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*(_UNMARKED_SECONDS if kind is EVENT else _WATCH_SECONDS))),
        }
        first, *others = self._collections(kind)
        if not others:
            streams = self._watch(first, query)
        else:
            streams = merged([self._watch_on(collection, query) for collection in (first, *others)])
        async for event in streams:
            yield event

    async def _watch_on(self, collection: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Manifest]]:
        """Begun again where the server closes it: each namespace is at a version of its own."""
        while True:
            async for type_, manifest in self._watch(collection, query):
                query = {**query, "resourceVersion": manifest["metadata"]["resourceVersion"]}
                yield type_, manifest
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

    async def _watch(self, collection: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Manifest]]:
        headers = await self._headers()
        with _reached():
            async with self._session.get(
                self._credentials.server + collection,
                params=query,
                headers=headers,
                timeout=_WATCH_TIMEOUT,
                server_hostname=self._credentials.server_name,
            ) as response:
                await _raise_for(response)
                while line := await response.content.readline():
                    event = _event(line)
                    yield event["type"], event["object"]

    def _collections(self, kind: Kind) -> tuple[str, ...]:
        """Each namespace is read by itself, so that a role in each is enough."""
        namespaces = sorted(self._namespaces) if kind.namespaced else ()
        return tuple(_path(kind, namespace) for namespace in namespaces or ("",))

    async def _unless_absent(self, method: str, path: str) -> Manifest | None:
        try:
            return await self._request(method, path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        query: Mapping[str, str] | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Manifest:
        data = None if body is None else _encoded(body)
        headers = await self._headers() | {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type
        url = self._credentials.server + path
        with _reached():
            async with self._session.request(
                method, url, params=query, data=data, headers=headers, server_hostname=self._credentials.server_name
            ) as response:
                await _raise_for(response)
                answer: dict[str, Any] = _decoded(await response.read())
        return answer

    async def _headers(self) -> dict[str, str]:
        authorization = await self._credentials.authorization()
        return {"Authorization": authorization} if authorization else {}


def _encoded(body: Manifest) -> bytes:
    """JSON that is YAML too, as which the API server reads applied objects: a character is itself, since YAML has no
    pairs of escapes, but for those that YAML wants escaped. Half a pair is no character."""
    try:
        data = orjson.dumps(body)
        if data.isascii() and b"\x7f" not in data:  # nearly always
            return data
        text = data.decode()
    except orjson.JSONEncodeError:  # half a pair, a number of more than 64 bits, or 250 levels
        text = json.dumps(body, ensure_ascii=False)
    escaped = _ESCAPED_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return escaped.encode(errors="replace")


def _decoded(data: bytes | str) -> Any:
    """Raises ValueError for what is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # or more than a thousand levels, as any user's object may have
        return json.loads(data)


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    root = "/api" if "/" not in kind.api_version else "/apis"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}/{kind.api_version}{place}/{kind.plural}{f'/{name}' if name else ''}"


@contextmanager
def _reached() -> Iterator[None]:
    """What goes wrong between us and the API server, as the one error that callers know: OSError."""
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(str(error) or "the API server did not answer in time") from error
    except OSError:
        raise
    except (aiohttp.ClientError, ValueError) as error:  # cut off, or cut off in the middle of JSON
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def _event(line: bytes) -> dict[str, Any]:
    """One line of a watch. Raises what it says went wrong, ValueError if it is no event."""
    event: Any = _decoded(line)
    if (
        not isinstance(event, dict)
        or not isinstance(event.get("type"), str)
        or not isinstance(event.get("object"), dict)
    ):
        raise ValueError(f"no event of a watch: {line[:100]!r}")
    if event["type"] == "ERROR":
        raise _error(event["object"].get("code", 500), event["object"])
    return event


async def _raise_for(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text(errors="replace")
    try:
        answer = _decoded(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):  # a proxy's page, or a plain text
        answer = {"message": text[:500]}
    raise _error(response.status, answer, response.headers.get("Retry-After"))


def _error(status: int, answer: Manifest, retry_after: str | None = None) -> Exception:
    if status == 410:
        return Gone(str(answer.get("message", "")))
    seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")), seconds)
