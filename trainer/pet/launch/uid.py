"""The job's uid: the operator's, or by hand the one in the checkpoint folder's owner record."""

from __future__ import annotations

from pathlib import Path

from pet.launch.plan import Plan
from pet.store.errors import Corrupt
from pet.store.names import OWNER
from pet.store.owner import parse_owner


def job_uid(plan: Plan) -> str | None:
    """None by hand until rank 0 has written the record; an unreadable record is the ranks' to report."""
    if not plan.environment.by_hand:
        return plan.environment.uid
    if not plan.checkpoint_dir:
        return None
    try:
        return parse_owner((Path(plan.checkpoint_dir) / OWNER).read_bytes()).uid
    except (FileNotFoundError, Corrupt):
        return None
