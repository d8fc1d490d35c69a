"""The checks of a job's manifest, made once for each generation of it."""

from __future__ import annotations

from dataclasses import dataclass

from pet.config.check import check_manifest
from pet.config.job import PetTrainingJob
from pet_operator.domain.decision import Validation
from pet_operator.runtime.ports import Key, Manifest


@dataclass(frozen=True)
class Checked:
    """A job as it was read, and what was found."""

    uid: str
    generation: int
    job: PetTrainingJob
    validation: Validation


class Validator:
    """Remembers the newest generation of each job."""

    def __init__(self) -> None:
        self._checked: dict[Key, Checked] = {}

    def check(self, key: Key, manifest: Manifest) -> Checked:
        """Read and check a PetTrainingJob."""
        uid, generation = manifest["metadata"]["uid"], manifest["metadata"]["generation"]
        known = self._checked.get(key)
        if known is not None and (known.uid, known.generation) == (uid, generation):
            return known
        review = check_manifest(manifest)
        assert review.job is not None, "the API server keeps no other kind under this path"
        checked = Checked(
            uid,
            generation,
            review.job,
            Validation(
                problems=tuple(str(problem) for problem in review.problems),
                warnings=tuple((warning.reason, str(warning)) for warning in review.warnings),
                script=review.script.path if review.script is not None else "",
            ),
        )
        self._checked[key] = checked
        return checked

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._checked.pop(key, None)
