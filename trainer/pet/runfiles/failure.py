"""The failure file: a rank's own account of why it ends, written before it leaves the process group."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from pet.runfiles.atomic import replace_text
from pet.runfiles.exits import ExitCode
from pet.runfiles.heartbeat import Heartbeat

MESSAGE_BYTES = 2048
TRACEBACK_BYTES = 3072
# The type of error by which a rank tells that a worker of its loader was killed.
WORKER_KILLED = "WorkerKilled"
_ROOM_BYTES = 32768  # JSON takes six bytes for some characters of one


@dataclass(frozen=True)
class Failure:
    """Why one rank ended. `iteration` is None before the first step."""

    attempt: int
    restart: int
    rank: int
    iteration: int | None
    exit_code: int
    exit_class: str
    type: str
    message: str
    traceback: str

    @classmethod
    def of(
        cls,
        error: BaseException,
        *,
        exit_code: ExitCode,
        attempt: int,
        restart: int,
        rank: int,
        iteration: int | None,
    ) -> Failure:
        """The account of an exception: the head of its message, the tail of its traceback."""
        return cls(
            attempt=attempt,
            restart=restart,
            rank=rank,
            iteration=iteration,
            exit_code=int(exit_code),
            exit_class=exit_code.exit_class,
            type=type(error).__name__,
            message=head(message_of(error), MESSAGE_BYTES),
            traceback=tail("".join(traceback.format_exception(error)), TRACEBACK_BYTES),
        )

    @classmethod
    def seen(
        cls,
        exit_code: ExitCode,
        type_: str,
        message: str,
        *,
        rank: int,
        heartbeat: Heartbeat | None,
        traceback: str = "",
    ) -> Failure:
        """What the launcher has seen of a rank that cannot speak for itself; by its heartbeat, if it had one."""
        stepped = heartbeat is not None and heartbeat.steps > 0
        return cls(
            attempt=heartbeat.attempt if heartbeat is not None else 0,
            restart=heartbeat.restart if heartbeat is not None else 0,
            rank=rank,
            iteration=heartbeat.iteration if heartbeat is not None and stepped else None,
            exit_code=int(exit_code),
            exit_class=exit_code.exit_class,
            type=type_,
            message=head(message, MESSAGE_BYTES),
            traceback=tail(traceback, TRACEBACK_BYTES),
        )


def message_of(error: BaseException) -> str:
    """What an error says. Of one that torch brought from a loader's worker, whose message is a traceback, the end."""
    text = text_of(error)
    if not came_from_worker(error):
        return text
    last = text.rstrip().rpartition("\n")[2]
    return last.partition(": ")[2] or last


def came_from_worker(error: BaseException) -> bool:
    """Whether torch brought it from a loader's worker."""
    return "\nOriginal Traceback " in text_of(error)


def text_of(error: BaseException) -> str:
    """`str(error)`; of one whose class cannot make it, which must not hide what happened, why it cannot."""
    try:
        return str(error)
    except Exception as broken:
        return f"its text cannot be made: {type(broken).__name__} in {type(error).__name__}.__str__"


def reserve_failure(path: str | Path) -> None:
    """Take the room for a report while there is some: a full disk is what many reports tell of. Raises OSError."""
    _reserved(path).write_bytes(b" " * _ROOM_BYTES)


def write_failure(path: str | Path, failure: Failure) -> None:
    """Write the report as a whole, into what was reserved for it. Raises OSError."""
    text = json.dumps(asdict(failure))
    try:
        with open(_reserved(path), "r+b") as room:
            room.write(text.encode())  # what is left of the spaces belongs to no JSON
    except FileNotFoundError:
        replace_text(Path(path), text)
    else:
        _reserved(path).replace(path)


def _reserved(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.reserved")


def read_failure(path: str | Path) -> Failure | None:
    """The report, or None if the rank wrote none that can be read: its launcher has to go on all the same."""
    try:
        return Failure(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def head(text: str, limit: int) -> str:
    """The beginning of a text, at most `limit` bytes of UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "…"


def tail(text: str, limit: int) -> str:
    """The end of a text, at most `limit` bytes of UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= limit else "…" + data[len(data) - limit + 3 :].decode(errors="ignore")
