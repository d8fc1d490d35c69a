"""What a rank that fails leaves behind: its error in the log, and in the failure file that its launcher reads."""

from __future__ import annotations

import logging

from pet.config import ConfigError
from pet.engine.errors import exit_code, says_all
from pet.engine.session import Session
from pet.runfiles.failure import Failure, message_of, write_failure

logger = logging.getLogger(__name__)


def withdraw(session: Session) -> None:
    """A script has caught the error and goes on: it is no end, and not to be taken for that of a later one."""
    if session.has_reported:
        session.has_reported = False
        session.run_dir.failure(session.local_rank).unlink(missing_ok=True)


def report(session: Session, error: BaseException) -> None:
    """Tell why this rank ends. To be called before anything that may take its time or fail, and once more at the end:
    the error is logged once, the file is then written with what was added to it."""
    code = exit_code(error)
    session.has_reported = True
    # Noted in the error itself: kept here, all that its traceback holds would outlive a script's `except`.
    if not getattr(error, "is_logged", False):
        error.is_logged = True  # type: ignore[attr-defined]
        if not isinstance(error, ConfigError):
            traceback = None if says_all(error) else error
            kind = ": ".join(dict.fromkeys((code.exit_class, type(error).__name__)))
            logger.error("rank %d ends: %s: %s", session.rank, kind, message_of(error), exc_info=traceback)
        elif session.rank == 0:
            logging.getLogger("pet").error("%s", error)
    failure = Failure.of(
        error,
        exit_code=code,
        attempt=session.attempt,
        restart=session.restart,
        rank=session.rank,
        iteration=session.iteration,
    )
    try:
        session.run_dir.create()  # a cleaner of temporary files may have taken it
        write_failure(session.run_dir.failure(session.local_rank), failure)
    except OSError as full:
        logger.error("the failure report was not written: %s", full)
