"""Which attempt of which job this is: settled once per launcher, so that ranks started again are the same attempt."""

from __future__ import annotations

from dataclasses import replace

from pet.launch.plan import Plan
from pet.store.opening import owner_for
from pet.store.owner import Identity, succeed


def settle(plan: Plan) -> Plan:
    """The plan with uid and attempt. Where nobody gave them, the checkpoint folder's owner record tells.

    To be called under the folder's lock. Only reads. Raises ForeignOwner (a ConfigError), Fenced and CheckpointUnusable
    as opening the folder does.
    """
    environment = plan.environment
    if environment.uid and environment.attempt is not None:
        return plan
    identity = Identity.of(environment)
    if plan.checkpoint_dir:
        owner = owner_for(plan.checkpoint_dir, identity, own_only=plan.own_only)
    else:
        owner = succeed(identity, None)
    return replace(plan, environment=replace(environment, uid=owner.uid, attempt=owner.attempt))
