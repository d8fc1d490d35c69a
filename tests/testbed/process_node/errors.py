"""What keeps a pod from starting: for now, or for good."""

from __future__ import annotations


class NotYet(Exception):
    """Something that the pod needs is not there. Tried again until it is; `reason` is a kubelet's word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unsupported(Exception):
    """The pod asks for something that a process node does not do; the message says for what."""


class StartError(Exception):
    """The container's program, or its working directory, is not there."""
