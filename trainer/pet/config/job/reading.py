"""From a manifest, as YAML or JSON gives it, to a PetTrainingJob: everything that one object can say about itself."""

from __future__ import annotations

import re

from pet.config.errors import ConfigError, Problem
from pet.config.job import sections, workload
from pet.config.job.fields import Fields
from pet.config.job.model import API_VERSION, KIND, JobSpec, PetTrainingJob
from pet.config.job.template import read_template
from pet.config.values import show
from pet.config.yaml_text import load_documents

NAME_LENGTH = 50  # host names are built from it
# Far above what a cluster and a machine have; a slip of the finger is refused before anything is exhausted by it.
MAX_NODES = 10_000
MAX_RANKS = 1024  # of one node


def read_jobs(text: str) -> list[PetTrainingJob]:
    """The jobs of a file, which may hold several YAML documents. Raises ConfigError with the problems of all."""
    documents = load_documents(text, "file")
    if not documents:
        raise ConfigError.of("file", f"holds no document; it must hold a {KIND}")
    jobs: list[PetTrainingJob] = []
    problems: list[Problem] = []
    for number, (manifest, duplicates) in enumerate(documents, start=1):
        job, found = parse_job(manifest)
        prefix = f"document {number}: " if len(documents) > 1 else ""
        problems += [Problem(prefix + problem.field, problem.message) for problem in duplicates + found]
        if job is not None:
            jobs.append(job)
    if problems:
        raise ConfigError(problems)
    return jobs


def read_job(manifest: object) -> PetTrainingJob:
    """The job that a manifest describes. Raises ConfigError with everything that is wrong with it."""
    job, problems = parse_job(manifest)
    if job is None or problems:
        raise ConfigError(problems)
    return job


def parse_job(manifest: object) -> tuple[PetTrainingJob | None, list[Problem]]:
    """As `read_job`, but returns what could be read, with defaults for the rest, beside the problems.

    None: the manifest is no PetTrainingJob at all.
    """
    if not isinstance(manifest, dict):
        return None, [Problem("", f"{show(manifest)} is not a manifest; it must be a mapping with kind: {KIND}")]
    problems: list[Problem] = []
    root = Fields(manifest, "", problems)
    found = (root.value("apiVersion"), root.value("kind"))
    if found != (API_VERSION, KIND):
        return None, [
            Problem(
                "kind", f"{found[1]} of {found[0]} is no training job; give kind: {KIND} and apiVersion: {API_VERSION}"
            )
        ]
    metadata = root.child("metadata")
    name = _name(metadata)
    _tags(metadata, "labels")
    job = PetTrainingJob(
        name=name,
        spec=_spec(root.child("spec", required=True), name),
        namespace=metadata.text("namespace", PetTrainingJob.namespace),
        uid=metadata.text("uid", ""),
        annotations=_tags(metadata, "annotations"),
    )
    root.value("status")
    root.close()
    return job, problems


def _name(metadata: Fields) -> str:
    name = metadata.text("name", "")
    if "generateName" in metadata and not name:
        metadata.report("generateName", "cannot be used: a job's checkpoints belong to its name; give metadata.name")
    elif not name and "name" not in metadata and metadata.readable:
        metadata.report("name", "is required")
    elif len(name) > NAME_LENGTH:
        metadata.report("name", f"{name!r} has {len(name)} characters; at most {NAME_LENGTH} are allowed")
    elif name and not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        metadata.report("name", f"{name!r} is not a DNS label: use a-z, 0-9 and -, a letter first, no - at the end")
    return name


def _tags(metadata: Fields, name: str) -> dict[str, str]:
    """Labels or annotations, for which an API server takes nothing but text; a date is text to it."""
    tags = metadata.child(name)
    for key, value in tags.content.items():
        if isinstance(value, bool | int | float | list | dict):
            tags.report(key, f"{show(value)} is not text; put it in quotes")
    return {key: str(value) for key, value in tags.content.items()}


def _spec(spec: Fields, name: str) -> JobSpec:
    gpus = spec.integer("gpusPerNode", JobSpec.gpus_per_node, minimum=0, maximum=MAX_RANKS)
    if "procsPerNode" in spec and gpus:
        spec.report("procsPerNode", "counts ranks on the CPU; it needs gpusPerNode: 0")
    nodes = spec.integer("nodes", JobSpec.nodes, minimum=1, maximum=MAX_NODES)
    result = JobSpec(
        cfg=workload.read_cfg(spec),
        type=spec.text("type", None),
        config=workload.read_config(spec),
        overrides=workload.read_overrides(spec),
        script_args=workload.read_script_args(spec),
        image=spec.text("image", ""),
        nodes=nodes,
        gpus_per_node=gpus,
        procs_per_node=spec.integer("procsPerNode", JobSpec.procs_per_node, minimum=1, maximum=MAX_RANKS),
        gpu_resource=spec.text("gpuResource", JobSpec.gpu_resource),
        template=read_template(spec),
        shared_memory=sections.read_shared_memory(spec.child("sharedMemory")),
        data=sections.read_data(spec),
        checkpoint=sections.read_checkpoint(spec.child("checkpoint"), name, nodes),
        suspend=spec.flag("suspend", False),
        restart=sections.read_restart(spec.child("restart")),
        deadlines=sections.read_deadlines(spec.child("deadlines")),
        ttl_seconds_after_finished=spec.integer("ttlSecondsAfterFinished", None, minimum=0),
        clean_pods=spec.choice("cleanPods", JobSpec.clean_pods, ("None", "Running", "All")),
        managed_by=spec.text("managedBy", ""),
        metrics=sections.read_metrics(spec.child("metrics")),
    )
    spec.close()
    return result
