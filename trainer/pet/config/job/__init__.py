"""The job file: `PetTrainingJob` as frozen values, and how a manifest is read into them."""

from pet.config.job.model import (
    API_VERSION,
    KIND,
    Checkpoint,
    CheckpointVolume,
    DataVolume,
    Deadlines,
    JobSpec,
    Metrics,
    PetTrainingJob,
    Restart,
    SharedMemory,
)
from pet.config.job.reading import parse_job, read_job, read_jobs

__all__ = [
    "API_VERSION",
    "KIND",
    "Checkpoint",
    "CheckpointVolume",
    "DataVolume",
    "Deadlines",
    "JobSpec",
    "Metrics",
    "PetTrainingJob",
    "Restart",
    "SharedMemory",
    "parse_job",
    "read_job",
    "read_jobs",
]
