"""How a training script runs as a rank: its command line, its session, and how it ends.

A rank that fails says why in its failure file before it leaves the process group, and ends with the exit code of the
failure's class. A script that is started by hand, without the environment of a rank, hands itself to the launcher.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pet.config import ConfigError
from pet.engine.distributed import destroy_process_group
from pet.engine.errors import StopRequested, exit_code
from pet.engine.report import report, withdraw
from pet.engine.session import Session, open_session
from pet.engine.workers import end_workers
from pet.launch.handover import ensure_ranks
from pet.launch.options import UsageParser
from pet.runfiles.exits import ExitCode
from pet.runfiles.failure import reserve_failure
from pet.runfiles.heartbeat import Section
from pet.runfiles.stacks import offer_stacks
from pet.store.errors import NO_ROOM

logger = logging.getLogger(__name__)


def run(
    main: Callable[[argparse.Namespace, Session], None], script: str, argv: Sequence[str] | None = None
) -> NoReturn:
    """Run `main(args, session)` as this rank and exit. `script` is the script's place, `tools/…/train_net.py`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    ensure_ranks(script, argv)
    faulthandler.enable()
    session = _open_session(script)
    offer_stacks(session.run_dir.stacks(session.local_rank))
    try:
        main(parse_args(argv), session)
        withdraw(session)
        session.enter(Section.DONE)
        destroy_process_group()
    except BaseException as error:
        _leave(session, error)
    _flush()
    sys.exit(ExitCode.SUCCEEDED)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """A script's own options: `--cfg`, `--local_rank`, and KEY VALUE pairs as `opts`. Raises ConfigError."""
    # No --help: the launcher answers it, and one that comes through to the ranks would pass for a finished training.
    parser = UsageParser(prog="train_net.py", allow_abbrev=False, add_help=False)
    parser.add_argument("--cfg", dest="cfg_file", required=True, help="the YAML configuration")
    parser.add_argument("--local_rank", type=int, default=0, help="set by the launcher")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="override keys of the configuration")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ConfigError.of(
            "command line or spec.scriptArgs",
            f"{unknown[0]!r} is no option of the training script: leave it out; it takes KEY VALUE pairs",
        )
    return args


def _open_session(script: str) -> Session:
    """The session, with room for this rank's last words. Where its files find no room, nobody could read them: only the
    exit code tells."""
    try:
        session = open_session(script)
        reserve_failure(session.run_dir.failure(session.local_rank))
    except OSError as full:
        if full.errno not in NO_ROOM:
            raise
        logger.error("this rank cannot start, there is no room for its run files: %s", full)
        sys.exit(ExitCode.STORAGE_FULL)
    return session


def _leave(session: Session, error: BaseException) -> NoReturn:
    """End this rank at once by the class of its error.

    Not through the interpreter's exit: destructors of a process group whose peers are gone may wait for ever.
    """
    code = exit_code(error)
    if not isinstance(error, StopRequested):
        report(session, error)
    else:
        session.enter(Section.DONE)
        destroy_process_group()
    end_workers()
    _flush()
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
