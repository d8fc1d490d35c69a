"""Reads the ConfigMaps, Secrets and tokens that pods refer to."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.errors import NotYet


class Sources:
    """Data of one pod's namespace, always as bytes."""

    def __init__(self, api: Api, pod: Manifest) -> None:
        self._api = api
        self._pod = pod
        self._path = f"/api/v1/namespaces/{pod['metadata']['namespace']}"

    async def data(self, kind: str, reference: Mapping[str, Any], name: str = "name") -> dict[str, bytes]:
        """All of the `configmaps` or `secrets` of a reference; empty if it is optional and not there. Raises NotYet."""
        wanted = reference[name]
        try:
            found = await self._api.get(f"{self._path}/{kind}/{wanted}")
        except ApiError as error:
            if error.code != 404:
                raise
            if reference.get("optional"):
                return {}
            raise NotYet("CreateContainerConfigError", f'{kind.removesuffix("s")} "{wanted}" not found') from error
        plain = found.get("data") or {}
        if kind == "secrets":
            return {key: base64.b64decode(value) for key, value in plain.items()}
        binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
        return {key: value.encode() for key, value in plain.items()} | binary

    async def key(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        """One key of one of them, None if it is optional and not there. Raises NotYet."""
        data = await self.data(kind, reference)
        key = reference["key"]
        if key in data:
            return data[key].decode()
        if reference.get("optional"):
            return None
        message = f"couldn't find key {key} in {kind.removesuffix('s')} {reference['name']}"
        raise NotYet("CreateContainerConfigError", message)

    async def token(self, request: Mapping[str, Any]) -> bytes:
        """A token of the pod's service account, for as long as the pod is there."""
        metadata = self._pod["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Manifest = {"expirationSeconds": request.get("expirationSeconds", 3600), "boundObjectRef": bound}
        if audience := request.get("audience"):
            spec["audiences"] = [audience]
        account = self._pod["spec"].get("serviceAccountName") or "default"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._api.post(f"{self._path}/serviceaccounts/{account}/token", body)
        return str(answer["status"]["token"]).encode()
