"""The port of a launcher: the one that is asked for, or the next free one, never one that another has."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from harness.launcher import eventually

from pet.config import ConfigError, JobEnvironment
from pet.config.environment import DEFAULT_METRICS_PORT
from pet.launch.endpoints import _CONNECTIONS, Endpoints
from pet.launch.plan import Plan
from pet.launch.record import Record
from pet.runfiles.port import read_port, write_port

HOST = "127.0.0.1"
LIMIT = 60  # seconds; a bound against hanging
SLACK = 50  # file descriptors of a test's own


@contextmanager
def listening(environment: JobEnvironment, plan: Plan) -> Iterator[int]:
    """A launcher's endpoints; their port."""
    endpoints = Endpoints(environment)
    endpoints.serve(plan, Record())
    try:
        yield endpoints.port
    finally:
        endpoints.close()


def test_launchers_without_a_port_of_their_own_take_different_ones(plan: Plan) -> None:
    environment = JobEnvironment(bind_address=HOST)
    with listening(environment, plan) as first, listening(environment, plan) as second:
        assert DEFAULT_METRICS_PORT <= first < second


@pytest.mark.parametrize("wrong", [None, 70000, -1])
def test_a_port_that_cannot_be_had_is_refused_by_both_of_its_names(wrong: int | None) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = wrong or taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            Endpoints(JobEnvironment(bind_address=HOST, metrics_port=port))
    (problem,) = caught.value.problems
    assert problem.field == "PETJOB_METRICS_PORT or spec.metrics.port"
    assert f"cannot listen on {HOST}, port {port} (" in problem.message
    assert "give another port, or none for the next free one" in problem.message


def test_the_port_is_told_once_it_is_known(tmp_path: Path) -> None:
    assert read_port(tmp_path) is None
    write_port(tmp_path, 9400)
    assert read_port(tmp_path) == 9400
    assert [file.name for file in tmp_path.iterdir()] == ["port"]


def test_a_port_that_is_asked_for_is_the_one_that_is_served(make: Callable[..., Plan]) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with listening(JobEnvironment(bind_address=HOST, metrics_port=port), make()) as served:
        assert served == port


@pytest.mark.parametrize("page", ["/status", "/metrics", "/healthz", "/none"])
def test_an_answer_leaves_in_one_piece_so_that_a_launcher_that_ends_cuts_none(page: str, plan: Plan) -> None:
    endpoints = Endpoints(JobEnvironment(bind_address=HOST))
    endpoints.serve(plan, Record())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # which keeps pieces apart
    with ours, theirs:
        theirs.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        endpoints._server.finish_request(ours, (HOST, 0))
        head, _, body = theirs.recv(2**20).partition(b"\r\n\r\n")
    endpoints.close()
    assert f"Content-Length: {len(body)}".encode() in head
    assert body


def test_clients_that_never_finish_their_request_take_neither_answers_nor_descriptors_from_others(plan: Plan) -> None:
    """A launcher that has no descriptor left cannot start its ranks again."""
    before = len(os.listdir("/proc/self/fd"))
    with listening(JobEnvironment(bind_address=HOST), plan) as port, ExitStack() as stack:
        for _ in range(3 * _CONNECTIONS):
            stack.enter_context(socket.create_connection((HOST, port), LIMIT)).sendall(b"GET /hea")
            with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=LIMIT) as answer:
                assert answer.read() == b"ok\n"
        # Ours are open as well, in this process.
        # Theirs are closed by threads of their own.
        most = before + 3 * _CONNECTIONS + _CONNECTIONS + SLACK
        eventually(lambda: len(os.listdir("/proc/self/fd")) < most, "the connections that made room are closed")


def test_a_request_that_fails_again_and_again_does_not_fill_the_log(
    plan: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(JobEnvironment(bind_address=HOST), plan) as port:
        accept = {"Accept": "application/openmetrics-text; version=new"}  # prometheus_client compares it with a number
        for _ in range(5):
            with pytest.raises(urllib.error.HTTPError, match="500"):
                urllib.request.urlopen(urllib.request.Request(f"http://{HOST}:{port}/metrics", headers=accept))
    assert capfd.readouterr().err.count("a request to the metrics port failed") == 1
