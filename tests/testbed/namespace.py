"""A namespace of its own for a test, and plain requests for what is in it."""

from __future__ import annotations

import secrets
import urllib.error
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from testbed.control_plane import ControlPlane
from testbed.waiting import wait_for

Manifest = dict[str, Any]

# After an API server that was away, a controller watches again after a pause of up to a minute.
_CONTROLLERS_BACK = 180.0


class Namespace:
    """Core objects of one namespace, as the administrator sees them. In a `with` it is there, and then it is not."""

    def __init__(self, plane: ControlPlane, name: str = "") -> None:
        self.name = name or f"test-{secrets.token_hex(4)}"
        self._plane = plane
        self._path = f"/api/v1/namespaces/{self.name}"

    def __enter__(self) -> Self:
        self._plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})
        path = f"{self._path}/serviceaccounts/default"  # pods need it
        wait_for(f"the service account of {self.name}", lambda: self._found(path), _CONTROLLERS_BACK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete it with all that is in it; returns when the pods are gone."""
        for pod in self.all("pods"):
            if pod["metadata"].get("finalizers"):  # a test that failed has left it
                self.release("pods", pod["metadata"]["name"])
        self._plane.request("DELETE", self._path)  # nothing new can be made; what is left goes within some seconds
        self._plane.request("DELETE", f"{self._path}/pods", {"gracePeriodSeconds": 1}, seconds=600)  # of thousands
        wait_for(f"the end of the pods in {self.name}", lambda: self.count("pods") == 0, 600.0)

    def create(self, plural: str, manifest: Manifest) -> Manifest:
        """Make an object."""
        return self._plane.request("POST", f"{self._path}/{plural}", manifest)

    def get(self, plural: str, name: str) -> Manifest | None:
        """Read an object, None if it is not there."""
        return self._found(f"{self._path}/{plural}/{name}")

    def all(self, plural: str, selector: str = "") -> list[Manifest]:
        """Read all objects of a kind, or those with these labels."""
        query = f"?labelSelector={quote(selector)}" if selector else ""
        items: list[Manifest] = self._plane.request("GET", f"{self._path}/{plural}{query}")["items"]
        return items

    def count(self, plural: str) -> int:
        """How many objects of a kind there are, at the price of one: to read all again and again would slow down
        whoever is being waited for."""
        page = self._plane.request("GET", f"{self._path}/{plural}?limit=1")
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

    def delete(self, plural: str, name: str, *, grace: int | None = None) -> None:
        """Ask for an object's deletion; `grace` in seconds, 0 removes it by force."""
        self._plane.request("DELETE", f"{self._path}/{plural}/{name}", {"gracePeriodSeconds": grace})

    def release(self, plural: str, name: str) -> None:
        """Take the finalizers off an object."""
        self._plane.request("PATCH", f"{self._path}/{plural}/{name}", {"metadata": {"finalizers": None}})

    def wait_for(self, plural: str, name: str, what: str, holds: Callable[[Manifest], object]) -> Manifest:
        """The object as soon as it is there and `holds`. Raises TimeoutError."""

        def look() -> Manifest:
            found = self.get(plural, name)
            return found if found and holds(found) else {}

        return wait_for(f"{plural} {name} {what}", look)

    def wait_until_gone(self, plural: str, name: str) -> None:
        """Wait for the end of an object. Raises TimeoutError."""
        wait_for(f"the end of {plural} {name}", lambda: self.get(plural, name) is None)

    def _found(self, path: str) -> Manifest | None:
        try:
            return self._plane.request("GET", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None
