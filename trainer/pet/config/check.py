"""The checks that `pet plan`, the operator and the launcher make of a job before anything is started."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection
from dataclasses import replace

from pet.config.catalogue import stock
from pet.config.errors import ConfigError, Problem
from pet.config.job import KIND, PetTrainingJob, parse_job
from pet.config.review import JobReview, Reviewer
from pet.config.yaml_text import load_documents

__all__ = ["JobReview", "check_job", "check_manifest", "check_text", "stock_cfg"]


def stock_cfg(path: str) -> str | None:
    """The text of a configuration in the stock image, None if it has none at this path."""
    return stock()["cfgs"].get(posixpath.normpath(path))


def check_manifest(
    manifest: object,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
    local: bool = False,
) -> JobReview:
    """Read a manifest and check the job; all problems of both together. The other arguments are `check_job`'s."""
    job, problems = parse_job(manifest)
    if job is None:
        return JobReview(None, tuple(problems))
    review = Reviewer(job, problems, scripts, read_cfg, foreign_image, local).review()
    return replace(review, manifest=manifest)


def check_job(
    job: PetTrainingJob,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
    local: bool = False,
) -> JobReview:
    """Check a job that could be read.

    Args:
        scripts: paths of the training scripts that there are; None: those of the stock image.
        read_cfg: gives the text of a configuration that is not embedded, None where there is no such file.
        foreign_image: whether the image may hold scripts and keys that are not known here, which are then left to
            its launcher; None: whenever the job names an image.
        local: the job runs on this machine, so nothing is said of what only a cluster has.
    """
    return Reviewer(job, [], scripts, read_cfg, foreign_image, local).review()


def check_text(
    text: str,
    source: str,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
    local: bool = False,
) -> list[JobReview]:
    """Read a job file, which may hold several YAML documents, and check each; `source` names the file in messages.

    The other arguments are `check_job`'s.
    """
    try:
        documents = load_documents(text, source)
    except ConfigError as error:
        return [JobReview(None, error.problems)]
    if not documents:
        return [JobReview(None, (Problem(source, f"holds no document; it must hold a {KIND}"),))]
    reviews = []
    for manifest, duplicates in documents:
        review = check_manifest(manifest, scripts, read_cfg=read_cfg, foreign_image=foreign_image, local=local)
        reviews.append(replace(review, problems=(*duplicates, *review.problems)))
    return reviews
