"""The clocks of this machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `runtime.ports.Clock`."""

    def now(self) -> datetime:
        """The time of day, in UTC, to the second: the API server keeps no more of a status."""
        return self.precise_now().replace(microsecond=0)

    def precise_now(self) -> datetime:
        """The same to the microsecond, as events have it."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()
