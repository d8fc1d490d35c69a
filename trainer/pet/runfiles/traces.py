"""What two tracebacks have in common if they are of the same error."""

from __future__ import annotations

import re

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def last_line(traceback: str) -> tuple[str, int] | None:
    """File and line of the innermost frame, None where there is no traceback."""
    frames = _FRAME.findall(traceback)
    return (frames[-1][0], int(frames[-1][1])) if frames else None
