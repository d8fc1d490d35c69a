"""A network of machines that can be cut off from one another: packets vanish, and nobody is told of it.

It is made of network namespaces, by a program that has been run `beside` and therefore needs no rights.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from types import TracebackType

_HERE = 254  # the last byte of our own address
_NOBODY = "02:00:00:00:ff:ff"
_CABLE = "eth0"


class Network:
    """Machines 0, 1, ... on one switch, to which the process that makes them belongs as well. For `with`."""

    def __init__(self, machines: int) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []
        self._machines = range(machines)
        self._stack = ExitStack()

    def __enter__(self) -> Network:
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def address(self, machine: int) -> str:
        """Its IP address, and its name too: nobody is here who could be asked for one."""
        return f"10.9.0.{machine + 1}"

    def on(self, machine: int) -> list[str]:
        """What makes a command one that runs there."""
        return ["nsenter", "--net", "--uts", f"--target={self._holders[machine].pid}"]

    def cut(self, *ways: tuple[int, int]) -> None:
        """What one machine sends to another vanishes, for each of these pairs; for all of them if none is given."""
        for sender, receiver in ways or self._ways():
            self._send_to(sender, receiver, _NOBODY)

    def heal(self) -> None:
        """All machines reach one another."""
        for sender, receiver in self._ways():
            self._send_to(sender, receiver, _hardware(receiver))

    def _build(self, stack: ExitStack) -> None:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "switch", "type", "bridge")
        _ip("address", "add", f"10.9.0.{_HERE}/24", "dev", "switch")
        _ip("link", "set", "switch", "up")
        for machine in self._machines:
            # It says so once it has its own namespaces, and lives as long as its input is open.
            code = f"hostname {self.address(machine)} && echo made && exec cat"
            holder = subprocess.Popen(["unshare", "--net", "--uts", "sh", "-c", code],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
            stack.callback(holder.communicate)
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"made\n"
            self._holders.append(holder)
            _ip("link", "add", f"port{machine}", "type", "veth", "peer", "name", _CABLE, "netns", str(holder.pid))
            _ip("link", "set", f"port{machine}", "master", "switch", "up")
            self._ip(machine, "link", "set", _CABLE, "address", _hardware(machine))
            self._ip(machine, "address", "add", f"{self.address(machine)}/24", "dev", _CABLE)
            for name in ("lo", _CABLE):
                self._ip(machine, "link", "set", name, "up")
        self.heal()

    def _ways(self) -> list[tuple[int, int]]:
        return [(one, other) for one in self._machines for other in self._machines if one != other]

    def _send_to(self, sender: int, receiver: int, hardware: str) -> None:
        self._ip(sender, "neighbour", "replace", self.address(receiver), "lladdr", hardware, "nud", "permanent",
                 "dev", _CABLE)  # fmt: skip

    def _ip(self, machine: int, *words: str) -> None:
        _run(*self.on(machine), "ip", *words)


def _hardware(machine: int) -> str:
    return f"02:00:00:00:00:{machine + 1:02x}"


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
