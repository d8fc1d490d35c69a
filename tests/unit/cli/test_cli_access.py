"""Commands on a cluster that cannot be asked or does not answer: one error, with its remedy and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.answers import Answers, answering, write_kubeconfig
from harness.commands import pet
from testbed.processes import free_port

COMMANDS = [("status", "job"), ("list",), ("wait", "job")]
NOT_FOUND = {"kind": "Status", "code": 404, "reason": "NotFound", "message": 'pettrainingjobs "job" not found'}


@pytest.fixture
def server() -> Iterator[Answers]:
    with answering() as answers:
        yield answers


@pytest.fixture(autouse=True)
def _no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def error(*arguments: str) -> str:
    """What a command says that cannot do its work."""
    answer = pet(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error  ")
    return answer.err.removeprefix("error  ").rstrip()


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_kubeconfig(command: tuple[str, ...]) -> None:
    assert error(*command) == (
        "--kubeconfig: there is no kubeconfig (in KUBECONFIG or ~/.kube/config); give another one, or set KUBECONFIG"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_server(command: tuple[str, ...], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    text = error(*command, "--kubeconfig", write_kubeconfig(tmp_path, url))
    assert text.startswith(f"{url}: cannot be reached: ")
    assert text.endswith("; is it up, and is this the right --context?")


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_cluster_without_the_kind(command: tuple[str, ...], server: Answers, tmp_path: Path) -> None:
    server.give("404 page not found\n", 404)
    assert error(*command, "--kubeconfig", server.kubeconfig(tmp_path)) == (
        f"{server.url}: knows no PetTrainingJobs; install Pet's operator, or first its resource:"
        " kubectl apply -f crds/pettrainingjobs.yaml"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "is no kubeconfig that can be read: "),
        ("a: [", "is no kubeconfig that can be read: while parsing a flow node expected"),
        ("{}", "Expected key current-context in "),
        (None, "there is no kubeconfig "),
    ],
)
def test_with_a_file_that_is_no_kubeconfig(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_text(content)
    text = error("list", "--kubeconfig", str(path))
    assert text.startswith("--kubeconfig: ")
    assert message in text
    assert str(path) in text
    assert "\n" not in text


def test_with_a_context_that_there_is_not(tmp_path: Path) -> None:
    text = error("list", "--kubeconfig", write_kubeconfig(tmp_path, "http://x"), "--context", "there")
    assert text.startswith("--context: ")
    assert "name there" in text
    assert text.endswith("; kubectl config get-contexts shows those that there are")


@pytest.mark.parametrize("server", ["https://[::1", "https://x:99999"])
def test_with_a_server_that_is_no_address(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("NO_PROXY", "other")
    text = error("list", "--kubeconfig", write_kubeconfig(tmp_path, server))
    assert text.startswith(f"--kubeconfig: the server {server} is no address: ")


def test_with_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("nonsense")
    path = write_kubeconfig(
        tmp_path, "https://x", **{"client-certificate": f"{tmp_path}/cert", "client-key": f"{tmp_path}/cert"}
    )
    assert error("list", "--kubeconfig", path).startswith("--kubeconfig: its certificates cannot be used: ")


@pytest.mark.parametrize("name", ["", "a/b", "..", "A", "a b"])
def test_with_what_is_no_name(name: str, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "http://x")
    problem = f"{name!r} is not a name: those are made of a-z, 0-9 and -"
    assert error("status", "--kubeconfig", path, "--", name) == f"NAME: {problem}"
    if name:
        assert error("list", "--kubeconfig", path, "-n", name) == f"--namespace: {problem}"


def test_a_server_that_fails_is_quoted(server: Answers, tmp_path: Path) -> None:
    server.give("upstream is gone\n", 502)
    assert error("list", "--kubeconfig", server.kubeconfig(tmp_path)) == f"{server.url}: answers 502: upstream is gone"


def test_whoever_may_not_list_still_hears_that_there_is_no_such_job(server: Answers, tmp_path: Path) -> None:
    server.give(NOT_FOUND, 404)
    server.give({"kind": "Status", "reason": "Forbidden", "message": "no"}, 403)
    text = error("status", "job", "--kubeconfig", server.kubeconfig(tmp_path))
    assert text == "job: no such job in namespace default"


def test_the_namespace_is_the_given_one_else_the_contexts_else_default(server: Answers, tmp_path: Path) -> None:
    server.give({"items": [], "metadata": {"resourceVersion": "1"}})
    (tmp_path / "vision").mkdir()
    contexts = write_kubeconfig(tmp_path / "vision", server.url, namespace="vision")
    for arguments, place in (
        (("--kubeconfig", contexts), "namespace vision"),
        (("--kubeconfig", contexts, "--context", "here"), "namespace vision"),
        (("--kubeconfig", contexts, "-n", "other"), "namespace other"),
        (("--kubeconfig", contexts, "-A"), "any namespace"),
        (("--kubeconfig", server.kubeconfig(tmp_path)), "namespace default"),
    ):
        answer = pet("list", *arguments)
        assert (answer.code, answer.out, answer.err) == (0, "", f"no jobs in {place}\n")
    paths = [path.partition("?")[0].removeprefix("/apis/pet.dev/v1") for path in server.asked]
    assert paths == [
        "/namespaces/vision/pettrainingjobs", "/namespaces/vision/pettrainingjobs",
        "/namespaces/other/pettrainingjobs", "/pettrainingjobs", "/namespaces/default/pettrainingjobs",
    ]  # fmt: skip


def test_kubeconfigs_of_the_environment_are_read_together(
    server: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.give({"items": [], "metadata": {"resourceVersion": "1"}})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{server.kubeconfig(tmp_path)}")
    assert pet("list").code == 0


def test_a_namespace_and_all_of_them_exclude_each_other() -> None:
    answer = pet("list", "-A", "-n", "a")
    assert (answer.code, answer.out) == (2, "")
    assert "give either a namespace or -A" in answer.err
