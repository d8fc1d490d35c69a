"""PetTrainingJobs on an API server, by plain requests: what it takes, and every reason for what it refuses."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass
from typing import Any

from testbed.control_plane import ControlPlane


@dataclass(frozen=True)
class Cause:
    """One reason for a refusal."""

    field: str
    message: str


class Refused(Exception):
    """The API server did not take an object. `causes` is empty where it gives none field by field."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["message"])
        causes = answer.get("details", {}).get("causes", ())
        self.causes = tuple(Cause(cause["field"], cause["message"]) for cause in causes)


class JobsApi:
    """The jobs in one namespace. Every method raises Refused."""

    def __init__(self, control_plane: ControlPlane, namespace: str = "default") -> None:
        self._control_plane = control_plane
        self._path = f"/apis/pet.dev/v1/namespaces/{namespace}/pettrainingjobs"

    def create(self, manifest: object, *, dry_run: bool = False) -> dict[str, Any]:
        """Make a job, or only see what would become of it. Unknown fields are refused, as kubectl has it."""
        return self._request("POST", f"?fieldValidation=Strict{'&dryRun=All' if dry_run else ''}", manifest)

    def change(self, name: str, patch: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """A JSON merge patch."""
        return self._request("PATCH", f"/{name}{'?dryRun=All' if dry_run else ''}", patch)

    def set_status(self, name: str, **status: Any) -> dict[str, Any]:
        """A merge patch of the status, as the operator may write it."""
        return self._request("PATCH", f"/{name}/status", {"status": status})

    def get(self, name: str) -> dict[str, Any]:
        """The job as it is stored."""
        return self._request("GET", f"/{name}")

    def delete(self, name: str) -> None:
        """Remove it."""
        self._request("DELETE", f"/{name}")

    def _request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            return self._control_plane.request(method, self._path + path, body)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)) from error
