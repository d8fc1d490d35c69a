"""`python -m harness.dying_operator N …`: the real operator, which dies as soon as the API server has taken its Nth
write, before it knows of the answer. Leases do not count: when they are renewed depends on time.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import aiohttp

from pet_operator.adapters.metrics import Metrics
from pet_operator.main import main

_DEAD = 9


def install(number: int) -> None:
    """Die right after write `number`, counted from 1."""
    left = number
    trace = Metrics.trace

    async def count(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        nonlocal left
        if params.method != "GET" and params.response.status < 300 and "/leases" not in params.url.path:
            left -= 1
            if left == 0:
                os._exit(_DEAD)

    def deadly(self: Metrics, *args: Any) -> aiohttp.TraceConfig:
        config = trace(self, *args)
        config.on_request_end.append(count)
        return config

    Metrics.trace = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    install(int(sys.argv.pop(1)))
    main()
