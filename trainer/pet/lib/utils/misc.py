"""The helper that users' hooks log with."""

from __future__ import annotations

import logging

from pet.engine.distributed import is_main_process

logger = logging.getLogger("pet.user")


def logging_rank(message: str, distributed: bool = True, local_rank: int | None = None) -> None:
    """Log on rank 0 only. `local_rank` is accepted for old callers: the rank is known here."""
    if not distributed or is_main_process():
        logger.info("%s", message)
