"""The checks of a job's manifest, made once for each generation of it."""

from __future__ import annotations

from dataclasses import dataclass

from pet.config.check import check_manifest
from pet.config.job import PetTrainingJob
from pet_operator.domain.decision import Validation
from pet_operator.runtime.ports import Manifest


@dataclass(frozen=True)
class Checked:
    """A job as it was read, and what was found."""

    generation: int
    job: PetTrainingJob
    validation: Validation


class Validator:
    """Remembers the newest generation of each job."""

    def __init__(self) -> None:
        self._checked: dict[str, Checked] = {}

    def check(self, manifest: Manifest) -> Checked:
        """Read and check a PetTrainingJob."""
        metadata = manifest["metadata"]
        known = self._checked.get(metadata["uid"])
        if known is not None and known.generation == metadata["generation"]:
            return known
        review = check_manifest(manifest)
        assert review.job is not None, "the API server keeps no other kind under this path"
        checked = Checked(
            metadata["generation"],
            review.job,
            Validation(
                problems=tuple(str(problem) for problem in review.problems),
                warnings=tuple((warning.reason, str(warning)) for warning in review.warnings),
                script=review.script.path if review.script is not None else "",
            ),
        )
        self._checked[metadata["uid"]] = checked
        return checked

    def forget(self, uid: str) -> None:
        """A job that is gone."""
        self._checked.pop(uid, None)
