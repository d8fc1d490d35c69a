"""From a configuration's place in the tree to the training script it belongs to."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from pet.config.errors import ConfigError

# Every script that belongs to Pet, whether or not this release has it; in the order in which a path is searched.
PET_SCRIPTS = {
    "vision": ("vision",),
    "projects": ("crowdcounting", "densepose", "fairmot"),
    "tasks": ("action", "cls", "contrast", "face", "instance", "tddet"),
}
ROOTS = ("cfgs", "ckpts")
UNSET = (None, "", "none", "None")
ALIASES = {("tasks", "instanse"): "instance"}


@dataclass(frozen=True)
class Script:
    """A training script: its path below the root, its type, and the name of its base configuration."""

    path: str
    type: str
    name: str
    warnings: tuple[str, ...] = ()

    @property
    def belongs_to_pet(self) -> bool:
        """Whether Pet has this script, be it built here or not."""
        return self.name in PET_SCRIPTS[self.type]


def resolve_script(cfg: str, type: str | None, available: Collection[str]) -> Script:
    """The script of a configuration file: by `type` if it is set, else by the file's place under `cfgs/` or `ckpts/`.

    Looks at nothing but its arguments; `available` holds paths such as `tools/tasks/cls/train_net.py`. Raises
    ConfigError when no script belongs to the file, or when the one that does is not available.
    """
    script = locate_script(cfg, type)
    if script.path not in available:
        raise ConfigError.of("cfg", why_not_available(script, cfg, available))
    return script


def locate_script(cfg: str, type: str | None) -> Script:
    """As `resolve_script`, without asking whether the script is available."""
    folders = posixpath.normpath(cfg).split("/")[:-1]
    kind = _checked_type(type) or _type_of(cfg, folders)
    if kind == "vision":
        return Script("tools/vision/train_net.py", kind, "vision")
    folder = _folder_after(cfg, kind, folders)
    name = ALIASES.get((kind, folder), folder)
    warnings = () if name == folder else (f"{kind}/{folder} is read as {kind}/{name}",)
    return Script(f"tools/{kind}/{name}/train_net.py", kind, name, warnings)


def why_not_available(script: Script, cfg: str, available: Collection[str]) -> str:
    """The message for a file whose script is not among those available."""
    there = ", ".join(sorted(available)) or "none"
    if script.belongs_to_pet:
        return f"{cfg!r} needs {script.path}, which belongs to Pet but is not built yet; available: {there}"
    close = difflib.get_close_matches(script.path, available, n=1, cutoff=0.8)
    hint = f", did you mean {close[0]}?" if close else ""
    return f"{cfg!r} needs {script.path}, which does not exist{hint}; available: {there}"


def _checked_type(type: str | None) -> str | None:
    if type in UNSET:
        return None
    if type in PET_SCRIPTS:
        return type
    close = difflib.get_close_matches(str(type).lower(), PET_SCRIPTS, n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    raise ConfigError.of("type", f"{type!r} is none of {', '.join(PET_SCRIPTS)}{hint}")


def _type_of(cfg: str, folders: list[str]) -> str:
    """The type that stands directly below `cfgs` or `ckpts`; tutorials are vision's."""
    below = [folder for root, folder in pairwise(folders) if root in ROOTS]
    for kind in PET_SCRIPTS:
        if kind in below:
            return kind
    if "tutorials" in below:
        return "vision"
    raise ConfigError.of(
        "cfg",
        f"{cfg!r} does not say which script it belongs to; place it under cfgs/vision/,"
        " cfgs/projects/<name>/ or cfgs/tasks/<name>/, or give the type",
    )


def _folder_after(cfg: str, kind: str, folders: list[str]) -> str:
    """The folder below `cfgs/<kind>` or `ckpts/<kind>`, else below the last `<kind>`."""
    places = [index for index, folder in enumerate(folders) if folder == kind]
    rooted = [index for index in places if index > 0 and folders[index - 1] in ROOTS]
    place = (rooted or places or [len(folders)])[-1]
    folder = folders[place + 1] if place + 1 < len(folders) else ""
    if not places:
        other = next((f"; the path names {name}" for name in PET_SCRIPTS if name in folders), "")
        raise ConfigError.of("cfg", f"{cfg!r} has no folder {kind}/<name>/, which type {kind} needs{other}")
    if not folder:
        raise ConfigError.of("cfg", f"{cfg!r} names no {kind} folder; there are {', '.join(PET_SCRIPTS[kind])}")
    if not re.fullmatch(r"[a-z0-9_]+", folder):
        raise ConfigError.of("cfg", f"{folder!r} in {cfg!r} is not a {kind} name: only a-z, 0-9 and _ are allowed")
    return folder
