"""Replaces places in a container by places on this machine, in texts: where a mount would need root."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

# What may stand before a path, and after its last component.
_DELIMITERS = r"\s=:,;'\"`()<>\[\]{}|&"


class Paths:
    """`places` leads from paths in the container to paths here.

    Only whole components are replaced, at the start of a text or after a delimiter; the longest path wins; what was
    replaced is not looked at again. A relative path is one only with a slash after it: `tools/x`, not the word `tools`.
    """

    def __init__(self, places: Mapping[str, Path | str]) -> None:
        self._places = {path.rstrip("/"): str(place) for path, place in places.items()}
        keys = [_expression(path) for path in sorted(self._places, key=len, reverse=True)]
        self._pattern = re.compile(f"(?:^|(?<=[{_DELIMITERS}]))(?:{'|'.join(keys)})") if keys else None

    def replace(self, text: str) -> str:
        """The text with every such path replaced."""
        return self._pattern.sub(lambda match: self._places[match[0]], text) if self._pattern else text


def _expression(path: str) -> str:
    return re.escape(path) + (f"(?=/|$|[{_DELIMITERS}])" if path.startswith("/") else "(?=/)")
