"""One job under review: its script found, its configuration read, every rule applied, all problems at once."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pet.config.catalogue import known_scripts, stock
from pet.config.defaults import ANY_SCRIPT, SCRIPTS
from pet.config.errors import ClusterProblem, ConfigError, JobWarning, Problem, UnknownKey
from pet.config.job import PetTrainingJob
from pet.config.known import Known, Unread, known_config, known_job
from pet.config.load import read_config
from pet.config.node import Config
from pet.config.rules import apply, config_warnings
from pet.config.rules import job as between
from pet.config.scripts import Script, locate_script, why_not_available


@dataclass(frozen=True)
class JobReview:
    """What the checks found; with problems, `job`, `script` and `cfg` hold what could be made out.

    `manifest` is what the job was read from, None where a job was given.
    """

    job: PetTrainingJob | None
    problems: tuple[Problem, ...]
    warnings: tuple[JobWarning, ...] = ()
    script: Script | None = None
    cfg: Config | None = None
    manifest: Any = field(default=None, compare=False)

    @property
    def valid(self) -> bool:
        """Whether the job may start."""
        return not self.problems

    def made_out(self, name: str) -> Any:
        """A value of the job by its dotted name, for example `spec.nodes`; None where it could not be read."""
        if self.job is None:
            return None
        with suppress(Unread):
            return known_job(self.job, self.problems).at(name)
        return None


class Reviewer:
    """One job under review; each step adds to `problems` and `warnings`.

    A step looks at the job through `known`: it ends where it meets a field that could not be read.
    """

    def __init__(
        self,
        job: PetTrainingJob,
        problems: list[Problem],
        scripts: Collection[str] | None,
        read_cfg: Callable[[str], str | None],
        foreign_image: bool | None,
        local: bool,
    ) -> None:
        """`problems` is what reading the job found; the others are the arguments of `pet.config.check.check_job`."""
        self.job = job
        self.problems = [problem for problem in problems if not (local and isinstance(problem, ClusterProblem))]
        self.warnings: list[JobWarning] = []
        self.scripts = known_scripts() if scripts is None else scripts
        self.read_cfg = read_cfg
        self.foreign = self._is_foreign() if foreign_image is None else foreign_image
        self.local = local

    @property
    def known(self) -> Known:
        """The job without what a problem was found in up to now."""
        return known_job(self.job, self.problems)

    def review(self) -> JobReview:
        """Run all checks."""
        script, cfg = None, None
        with suppress(Unread):
            script = self._located()
        with suppress(Unread):
            cfg = self._config(script)
        if not self.local:
            self.warnings += apply(between.WARNINGS_OF_CLUSTER, self.known)
        available = script if script and script.path in self.scripts else None
        trainable = cfg if available and available.name in SCRIPTS else None
        return JobReview(self.job, tuple(self.problems), tuple(self.warnings), available, trainable)

    def _is_foreign(self) -> bool:
        try:
            return bool(self.known.spec.image)
        except Unread:
            return True

    def _located(self) -> Script | None:
        """The script that the job's `cfg` belongs to, or None if its place belongs to none that there is or will be."""
        cfg = self.known.spec.cfg
        try:
            script = locate_script(cfg, self.known.spec.type)
        except ConfigError as error:
            self.problems += [Problem(f"spec.{problem.field}", problem.message) for problem in error.problems]
            return None
        self.warnings += [JobWarning("ScriptAlias", "spec.cfg", warning) for warning in script.warnings]
        if script.path in self.scripts:
            return script
        if self.foreign:
            message = f"{self.known.spec.image} must hold {script.path}; the stock image does not"
            self._warn("NotCheckedForeignImage", "spec.cfg", message)
            return script
        self.problems.append(Problem("spec.cfg", why_not_available(script, cfg, self.scripts)))
        return script if script.belongs_to_pet else None

    def _warn(self, reason: str, field: str, message: str) -> None:
        self.warnings.append(JobWarning(reason, field, message))

    def _config(self, script: Script | None) -> Config | None:
        """The configuration that the job would train with, or None where its text cannot be known here.

        Where no script is known it is held against the keys of all scripts. Keys of a script that is not built, or
        that only a foreign image has, are left unjudged.
        """
        embedded = self.known.spec.config is not None
        text = self.known.spec.config if embedded else self._file(self.known.spec.cfg)
        if text is None:
            return None
        cfg, problems = _read(
            script.name if script and script.name in SCRIPTS else ANY_SCRIPT,
            text,
            "spec.config" if embedded else self.job.spec.cfg,
            self._overrides(),
            self._world_size(),
        )
        self._report(problems, keys_known=not self.foreign and (script is None or script.name in SCRIPTS))
        if cfg is not None:
            known = known_config(cfg, problems)
            rules = between.RULES if self.foreign else (*between.RULES, *between.RULES_OF_STOCK_IMAGE)
            self.problems += apply(rules, self.known, known)
            self.warnings += [*config_warnings(cfg, problems), *apply(between.WARNINGS, self.known, known)]
        return cfg

    def _report(self, problems: Sequence[Problem], *, keys_known: bool) -> None:
        """Keys that only the script itself can judge are left to it."""
        for problem in problems:
            if isinstance(problem, UnknownKey) and not keys_known:
                self._warn("KeyNotChecked", problem.field, f"{problem.message}; left to its script")
            else:
                self.problems.append(problem)

    def _file(self, cfg: str) -> str | None:
        """The text of the image's own file at `cfg`."""
        text = self.read_cfg(cfg)
        if text is None:
            if self.foreign or (posixpath.isabs(cfg) and not self.local):
                self._warn("ConfigNotChecked", "spec.cfg", f"{cfg!r} is read in the pod; its keys are checked there")
            else:
                close = difflib.get_close_matches(cfg, stock()["cfgs"], n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                where = "there is" if self.local else "the trainer image has"
                message = f"{where} no file {cfg!r}; embed the configuration as spec.config{hint}"
                self.problems.append(Problem("spec.cfg", message))
        return text

    def _overrides(self) -> tuple[str, ...] | None:
        """All KEY VALUE pairs of the command line, in its order; a script's own options are not ours to judge.

        None: they could not be read.
        """
        try:
            args, pairs = self.known.spec.script_args, self.known.spec.override_args
        except Unread:
            return None
        return (*(() if any(arg.startswith("-") for arg in args) else args), *pairs)

    def _world_size(self) -> int | None:
        try:
            size: int = self.known.spec.world_size
        except Unread:
            return None
        return size


@lru_cache(maxsize=32)
def _read(
    script: str, text: str, source: str, overrides: tuple[str, ...] | None, world_size: int | None
) -> tuple[Config | None, tuple[Problem, ...]]:
    """As `read_config`, which is most of what a review costs: jobs are often made of one configuration, and each of
    them is reviewed again when it is suspended or resumed. What is kept is frozen."""
    cfg, problems = read_config(
        script,
        text=text,
        text_source=source,
        overrides=overrides,
        overrides_source="spec.overrides",
        world_size=world_size,
    )
    return cfg, tuple(problems)
