"""What a start begins with: decided on rank 0, from the folder, the environment and the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from pet.config.environment import JobEnvironment
from pet.store.folder import Selected
from pet.store.foreign import select_foreign, select_weights
from pet.store.opening import is_owner, open_folder
from pet.store.owner import Identity, Owner
from pet.store.tenure import Tenure


@dataclass(frozen=True)
class Decision:
    """`source` is the file to load, None for a start from scratch. With `resume` all of its state is taken, without
    only its model; `field` is what named it then. `owner` is None where nothing is saved. `left_out` are the places in
    the order of samples that runs before this one found not finite."""

    owner: Owner | None
    source: Selected | None
    resume: bool = False
    field: str = ""
    left_out: tuple[int, ...] = ()


def decide(directory: str, environment: JobEnvironment, weights_path: str,
           auto_resume: bool) -> tuple[Tenure | None, Decision]:  # fmt: skip
    """Become the owner of `directory` (empty: save nothing) and find what to load.

    Raises ConfigError, CheckpointUnusable and Fenced as `pet.store.opening` does, and ConfigError if the file or
    folder to begin with is not there.
    """
    path = "" if environment.resume in ("Auto", "Never") else environment.resume
    begin = _beginning(path, weights_path, directory)
    if not directory:
        return None, begin(None)
    own_only = environment.own_only(auto_resume=auto_resume)
    identity = Identity.of(environment)
    if own_only and not is_owner(directory, identity):
        # A wrong path is to be found before another job's files are moved aside for nothing.
        begin(None)
    tenure, selected = open_folder(directory, identity, own_only=own_only)
    if selected:
        return tenure, Decision(tenure.owner, selected, resume=True, left_out=tenure.left_out)
    return tenure, replace(begin(tenure.owner), left_out=tenure.left_out)


def _beginning(path: str, weights_path: str, directory: str) -> Callable[[Owner | None], Decision]:
    """How a run without a checkpoint of its own begins: with the model at `path`, the weights, or from scratch."""

    @cache
    def source() -> tuple[Selected | None, str]:
        if path:
            return select_foreign(path, directory), "spec.checkpoint.resume"
        if not weights_path:
            return None, ""
        return select_weights(weights_path), "TRAIN.WEIGHTS"

    return lambda owner: Decision(owner, source()[0], field=source()[1])
