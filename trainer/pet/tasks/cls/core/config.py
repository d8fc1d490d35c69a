"""Pet's import path for the configuration of this script; everything lies in `pet.config`."""

from functools import partial

from pet.config import get_base_cfg as _get_base_cfg
from pet.config import infer_cfg

get_base_cfg = partial(_get_base_cfg, "cls")

__all__ = ["get_base_cfg", "infer_cfg"]
