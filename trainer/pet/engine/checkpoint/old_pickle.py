"""Files from before Pet 0.7: their scheduler holds a yacs node, which torch's own restricted unpickler refuses.

This one knows a closed list of names: what a tensor is rebuilt from, and a stand-in for the node. It has the shape of
the `pickle` module, because that is how `torch.load` takes an unpickler.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import IO, Any

import torch


class Node(dict[str, Any]):
    """Stands for `yacs.config.CfgNode`: a dictionary whose own attributes do not matter."""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("yacs.config", "CfgNode"): Node,
    # A node's own attributes hold a set; Python 2's name for it is what pickles of this age use.
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}


class Unpickler(pickle.Unpickler):
    """Raises pickle.UnpicklingError for every name that is not on the list. `torch.load` adds its storages."""

    def find_class(self, module: str, name: str) -> Any:
        """What `module.name` stands for."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not read from a file") from None


def load(path: str) -> Any:
    """The content of a file of `torch.save`, with plain dictionaries in the place of nodes."""
    # weights_only would put torch's own unpickler in the place of ours, which is as strict.
    return _plain(torch.load(path, map_location="cpu", weights_only=False, pickle_module=_AsPickleModule))


class _AsPickleModule:
    """What `torch.load` looks up in a `pickle_module`."""

    Unpickler = Unpickler

    @staticmethod
    def load(file: IO[bytes], **options: Any) -> Any:
        """One pickle from a file."""
        return Unpickler(file, **options).load()


def _plain(value: Any) -> Any:
    if isinstance(value, Node):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value
