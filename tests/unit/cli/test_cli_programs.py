"""The programs themselves: names, versions, help, usage errors, and what they do not import."""

from __future__ import annotations

import importlib
import sysconfig
import tomllib
from pathlib import Path

import pytest
from harness.answers import write_kubeconfig
from harness.commands import OPERATOR, PET, pet, python
from harness.launcher import ROOT

from pet import __version__

CLUSTER = ["-n, --namespace NAME", "--context NAME", "--kubeconfig FILE", "-o, --output <text|json>"]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_program_that_is_installed_exists(name: str) -> None:
    module, _, function = SCRIPTS[name].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_there_are_the_programs_that_users_are_told_of() -> None:
    assert set(SCRIPTS) == {"pet", "kubectl-pet", "pet-operator"}
    assert SCRIPTS["pet"] == SCRIPTS["kubectl-pet"]


@pytest.mark.parametrize(("program", "name"), [(PET, "pet"), (OPERATOR, "pet-operator")])
def test_a_program_says_its_version(program: tuple[str, ...], name: str) -> None:
    answer = python(*program, "--version")
    assert (answer.code, answer.out, answer.err) == (0, f"{name} {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["plan ", "run ", "status ", "list ", "wait ", "data ", "--version", "on Kubernetes"]),
        (("plan",), ["-f, --filename FILE", "- reads stdin", "-o, --output <text|json>", "--trainer-image IMAGE"]),
        (("status",), ["name", *CLUSTER]),
        (("list",), ["-A, --all-namespaces", *CLUSTER]),
        (("wait",), ["name", "--for <running|finished>", "--timeout SECONDS", *CLUSTER]),
        (("run",), ["-f, --filename FILE", "--local", "--output DIR", "--data DIR", "--set KEY=VALUE", "--fresh"]),
        (("data",), ["fetch"]),
        (("data", "fetch"), ["name", "--data DIR"]),
    ],
)
def test_help_names_every_command_and_option(arguments: tuple[str, ...], words: list[str]) -> None:
    answer = pet(*arguments, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: {' '.join(['pet', *arguments])} ")
    assert [word for word in words if word not in answer.out] == []


def test_as_a_plug_in_of_kubectl_it_calls_itself_that(tmp_path: Path) -> None:
    (tmp_path / "kubectl-pet").write_text("from pet_operator.cli.app import main\nmain()\n")
    answer = python("kubectl-pet", "plan", "--help", folder=tmp_path)
    assert answer.out.startswith("Usage: kubectl pet plan ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("plan",), "Missing option '-f'"),
        (("plan", "-f", "-", "-o", "yaml"), "is not one of 'text', 'json'"),
        (("run", "-f", "-"), "say --local"),
        (("run", "--local", "-f", "one.yaml", "-f", "two.yaml"), "give one file: jobs are run one at a time"),
        (("status",), "Missing argument 'name'"),
        (("wait",), "Missing argument 'name'"),
        (("data", "fetch"), "Missing argument 'name'"),
    ],
)
def test_a_usage_error_goes_to_stderr_with_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    answer = pet(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_without_a_command_the_help_is_shown_as_a_usage_error() -> None:
    answer = pet()
    assert answer.code == 2
    assert "Commands:" in answer.out + answer.err


def test_a_data_set_that_cannot_be_fetched_by_name_is_invalid_input(tmp_path: Path) -> None:
    answer = python(*PET, "data", "fetch", "nonsense", "--data", str(tmp_path))
    assert (answer.code, answer.out) == (78, "")
    assert "no data set 'nonsense' to fetch; there are: fashion-mnist" in answer.err
    answer = python(*PET, "data", "fetch", f"--data={tmp_path}", "--", "--help")
    assert (answer.code, answer.out) == (78, "")
    assert "no data set '--help' to fetch" in answer.err


def test_the_root_of_all_data_sets_is_that_of_the_environment_unless_it_is_given(tmp_path: Path) -> None:
    for name in ("theirs", "given"):
        (tmp_path / name).touch()  # where no folder can be made
    for options, root in (((), "theirs"), (("--data", "given"), "given")):
        answer = python(*PET, "data", "fetch", "fashion-mnist", *options, folder=tmp_path, PETJOB_DATA_DIR="theirs")
        assert (answer.code, answer.out) == (78, "")
        assert answer.err.startswith(f"data: {root}/FashionMNIST cannot be ")


def test_an_invalid_job_is_not_run_and_all_its_problems_are_named(tmp_path: Path) -> None:
    text = "apiVersion: pet.dev/v1\nkind: PetTrainingJob\nmetadata: {name: A}\nspec: {nodes: 0}\n"
    answer = python(*PET, "run", "--local", "-f", "-", stdin=text, folder=tmp_path)
    assert (answer.code, answer.out) == (78, "")
    for field in ("metadata.name", "spec.cfg", "spec.nodes"):
        assert f"error  {field}: " in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_beside_the_job_that_cannot_be_read_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "cfgs/tasks/cls").mkdir(parents=True)
    (tmp_path / "cfgs/tasks/cls/a.yaml").write_bytes(b"\xff\xfe")
    text = "apiVersion: pet.dev/v1\nkind: PetTrainingJob\nmetadata: {name: a}\nspec: {cfg: cfgs/tasks/cls/a.yaml}\n"
    answer = python(*PET, "run", "--local", "-f", "-", stdin=text, folder=tmp_path)
    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith("error  cfgs/tasks/cls/a.yaml: cannot be read: ")


def test_the_operator_s_help_names_every_option() -> None:
    answer = python(*OPERATOR, "--help")
    assert (answer.code, answer.err) == (0, "")
    options = ("--trainer-image", "--kubeconfig", "--namespace", "--lease-namespace", "--port", "--poll-seconds")
    assert [option for option in options if option not in answer.out] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "--trainer-image"), (("--trainer-image=a", "--port=x"), "--port"), (("--trainer-image=a", "x"), "x")],
)
def test_a_usage_error_of_the_operator_names_the_option(arguments: tuple[str, ...], message: str) -> None:
    answer = python(*OPERATOR, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err.rpartition("error:")[2]


def test_an_operator_without_a_cluster_says_what_to_give_it(tmp_path: Path) -> None:
    for file in ("absent", "empty"):
        (tmp_path / "empty").touch()
        answer = python(*OPERATOR, "--trainer-image=a", f"--kubeconfig={tmp_path / file}")
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("pet-operator: no API server to speak with: ")
        assert "Traceback" not in answer.err


def test_an_operator_refuses_what_its_watches_cannot_honour(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://server", cluster={"tls-server-name": "inside"})
    answer = python(*OPERATOR, "--trainer-image=a", f"--kubeconfig={path}")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("pet-operator: no API server to speak with: tls-server-name cannot be used by the ")


def test_the_command_line_needs_no_torch_and_nothing_of_kubernetes() -> None:
    program = (
        "import sys, pet_operator.cli.app\n"
        "print(sorted({'torch', 'torchvision', 'numpy', 'kubernetes', 'kopf', 'aiohttp'} & set(sys.modules)))"
    )
    assert python("-c", program).out == "[]\n"


def test_the_operator_needs_no_torch() -> None:
    program = "import sys, pet_operator.main\nprint(sorted({'torch', 'torchvision', 'numpy'} & set(sys.modules)))"
    assert python("-c", program).out == "[]\n"


def test_the_folder_of_the_operator_does_not_hide_the_module_of_the_standard_library() -> None:
    answer = python("-c", "import operator; print(operator.__file__)", folder=ROOT)
    assert answer.out == f"{Path(sysconfig.get_path('stdlib')) / 'operator.py'}\n"
    assert not (ROOT / "operator/__init__.py").exists()
