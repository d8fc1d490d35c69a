"""The checks that `pet plan`, the operator and the launcher make of a job before anything is started."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from pet.config.catalogue import known_scripts, stock
from pet.config.defaults import ANY_SCRIPT, SCRIPTS
from pet.config.errors import ConfigError, Problem
from pet.config.job import KIND, PetTrainingJob, parse_job
from pet.config.load import read_config
from pet.config.merge import UnknownKey
from pet.config.node import Config
from pet.config.scripts import Script, locate_script, why_not_available
from pet.config.yaml_text import load_documents

SIZE_FIELDS = {"spec.nodes", "spec.gpusPerNode", "spec.procsPerNode"}


@dataclass(frozen=True)
class JobWarning:
    """Something the user should know that does not stop the job. `reason` is CamelCase, as events have it."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """What the checks found; with problems, `job`, `script` and `cfg` hold what could be made out."""

    job: PetTrainingJob | None
    problems: tuple[Problem, ...]
    warnings: tuple[JobWarning, ...] = ()
    script: Script | None = None
    cfg: Config | None = None

    @property
    def valid(self) -> bool:
        """Whether the job may start."""
        return not self.problems


def stock_cfg(path: str) -> str | None:
    """The text of a configuration in the stock image, None if it has none at this path."""
    return stock()["cfgs"].get(posixpath.normpath(path))


def check_manifest(
    manifest: object,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
) -> Verdict:
    """Read a manifest and check the job; all problems of both together. The other arguments are `check_job`'s."""
    job, problems = parse_job(manifest)
    if job is None:
        return Verdict(None, tuple(problems))
    return _Check(job, problems, scripts, read_cfg, foreign_image).verdict()


def check_job(
    job: PetTrainingJob,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
) -> Verdict:
    """Check a job that could be read.

    Args:
        scripts: paths of the training scripts that there are; None: those of the stock image.
        read_cfg: gives the text of a configuration that is not embedded, None where there is no such file.
        foreign_image: whether the image may hold scripts and keys that are not known here, which are then left to
            its launcher; None: whenever the job names an image.
    """
    return _Check(job, [], scripts, read_cfg, foreign_image).verdict()


def check_text(
    text: str,
    source: str,
    scripts: Collection[str] | None = None,
    *,
    read_cfg: Callable[[str], str | None] = stock_cfg,
    foreign_image: bool | None = None,
) -> list[Verdict]:
    """Read a job file, which may hold several YAML documents, and check each; `source` names the file in messages.

    The other arguments are `check_job`'s.
    """
    try:
        documents = load_documents(text, source)
    except ConfigError as error:
        return [Verdict(None, error.problems)]
    if not documents:
        return [Verdict(None, (Problem(source, f"holds no document; it must hold a {KIND}"),))]
    verdicts = []
    for manifest, duplicates in documents:
        verdict = check_manifest(manifest, scripts, read_cfg=read_cfg, foreign_image=foreign_image)
        verdicts.append(replace(verdict, problems=(*duplicates, *verdict.problems)))
    return verdicts


class _Check:
    """One job under examination; each step adds to `problems` and `warnings`."""

    def __init__(
        self,
        job: PetTrainingJob,
        problems: list[Problem],
        scripts: Collection[str] | None,
        read_cfg: Callable[[str], str | None],
        foreign_image: bool | None,
    ) -> None:
        self.job = job
        self.problems = problems
        self.warnings: list[JobWarning] = []
        self.scripts = known_scripts() if scripts is None else scripts
        self.read_cfg = read_cfg
        self.foreign = bool(job.spec.image) if foreign_image is None else foreign_image
        # With a broken field its default stands in the spec: nothing may be concluded from that.
        self.size_known = not {problem.field for problem in problems} & SIZE_FIELDS

    def verdict(self) -> Verdict:
        """Run all checks."""
        script = self._located() if self.job.spec.cfg else None
        available = script if script and script.path in self.scripts else None
        cfg = self._config(script)
        if cfg is not None and self.size_known:
            self._device(cfg)
        self._checkpoints()
        trainable = cfg if available and available.name in SCRIPTS else None
        return Verdict(self.job, tuple(self.problems), tuple(self.warnings), available, trainable)

    def _located(self) -> Script | None:
        """The script that the job's `cfg` belongs to, or None if its place belongs to none that there is or will be."""
        spec = self.job.spec
        try:
            script = locate_script(spec.cfg, spec.type)
        except ConfigError as error:
            self.problems += [Problem(f"spec.{problem.field}", problem.message) for problem in error.problems]
            return None
        self.warnings += [JobWarning("ScriptAlias", "spec.cfg", warning) for warning in script.warnings]
        if script.path in self.scripts:
            return script
        if self.foreign:
            message = f"{spec.image} must hold {script.path}; the stock image does not"
            self._warn("NotCheckedForeignImage", "spec.cfg", message)
            return script
        self.problems.append(Problem("spec.cfg", why_not_available(script, spec.cfg, self.scripts)))
        return script if script.belongs_to_pet else None

    def _warn(self, reason: str, field: str, message: str) -> None:
        self.warnings.append(JobWarning(reason, field, message))

    def _config(self, script: Script | None) -> Config | None:
        """The configuration that the job would train with, or None where its text cannot be known here.

        Where no script is known it is held against the keys of all scripts. Keys of a script that is not built, or
        that only a foreign image has, are left unjudged.
        """
        spec = self.job.spec
        embedded = spec.config is not None
        text = spec.config if embedded else self._file()
        if text is None:
            return None
        cfg, problems = read_config(
            script.name if script and script.name in SCRIPTS else ANY_SCRIPT,
            text=text,
            text_source="spec.config" if embedded else spec.cfg,
            overrides=self._overrides(),
            overrides_source="spec.overrides",
            world_size=spec.world_size if self.size_known else None,
        )
        self._report(problems, keys_known=not self.foreign and (script is None or script.name in SCRIPTS))
        if cfg.MISC.CKPT and embedded:
            place = "spec.checkpoint.path says where checkpoints go"
            self._warn("CkptIgnored", "MISC.CKPT", f"{cfg.MISC.CKPT!r} is ignored in a job; {place}")
        return cfg

    def _report(self, problems: list[Problem], *, keys_known: bool) -> None:
        """Keys that only the script itself can judge are left to it."""
        for problem in problems:
            if isinstance(problem, UnknownKey) and not keys_known:
                self._warn("KeyNotChecked", problem.field, f"{problem.message}; left to its script")
            else:
                self.problems.append(problem)

    def _file(self) -> str | None:
        """The text of the image's own file at `spec.cfg`."""
        cfg = self.job.spec.cfg
        text = self.read_cfg(cfg) if cfg else None
        if text is None and cfg:
            if self.foreign or posixpath.isabs(cfg):
                self._warn("ConfigNotChecked", "spec.cfg", f"{cfg!r} is read in the pod; its keys are checked there")
            else:
                close = difflib.get_close_matches(cfg, stock()["cfgs"], n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                message = f"there is no file {cfg!r}; embed the configuration as spec.config{hint}"
                self.problems.append(Problem("spec.cfg", message))
        return text

    def _overrides(self) -> tuple[str, ...]:
        """All KEY VALUE pairs of the command line, in its order; a script's own options are not ours to judge."""
        args = self.job.spec.script_args
        pairs = () if any(arg.startswith("-") for arg in args) else args
        return (*pairs, *self.job.spec.override_args)

    def _device(self, cfg: Config) -> None:
        spec, device = self.job.spec, cfg.MISC.DEVICE
        if spec.gpus_per_node == 0 and device != "cpu":
            self.problems.append(Problem("MISC.DEVICE", f"{device!r} needs GPUs, and spec.gpusPerNode is 0; give cpu"))
        if spec.gpus_per_node > 0 and device == "cpu":
            message = f"'cpu' leaves {spec.gpus_per_node} GPU(s) per node idle; give cuda, or spec.gpusPerNode: 0"
            self.problems.append(Problem("MISC.DEVICE", message))

    def _checkpoints(self) -> None:
        spec = self.job.spec
        volume = spec.checkpoint.volume
        if volume is None:
            loss = "they go when its pod goes" if spec.nodes == 1 else "none is saved: each restart begins at step 1"
            message = f"is absent, so checkpoints have no volume and {loss}; give a claimName or a size"
            self._warn("NotPersistent", "spec.checkpoint.volume", message)
        elif volume.claim_name and spec.checkpoint.on_delete == "Delete":
            message = f"Delete has no effect on the claim {volume.claim_name}: the operator did not make it"
            self._warn("ClaimNotOurs", "spec.checkpoint.onDelete", message)
