"""Ranks and the collectives on objects."""

from pet.engine.distributed import all_gather_objects as all_gather
from pet.engine.distributed import get_rank, get_world_size, is_main_process, synchronize

__all__ = ["all_gather", "get_rank", "get_world_size", "is_main_process", "synchronize"]
