"""Several streams as one, for what is watched in each of several namespaces by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merged(streams: Sequence[AsyncIterator[T]]) -> AsyncIterator[T]:
    """What each of them gives, as it comes. Raises what the first of them raises, which ends the others; where none
    does, it ends with the last."""
    news: asyncio.Queue[tuple[T, ...] | Exception] = asyncio.Queue(maxsize=1)
    tasks = [asyncio.create_task(_pass_on(stream, news)) for stream in streams]
    try:
        left = len(tasks)
        while left:
            told = await news.get()
            if isinstance(told, Exception):
                raise told
            left -= not told
            for each in told:
                yield each
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(stream: AsyncIterator[T], news: asyncio.Queue[tuple[T, ...] | Exception]) -> None:
    """At its end comes an empty tuple."""
    try:
        async for each in stream:
            await news.put((each,))
    except Exception as error:
        await news.put(error)
    else:
        await news.put(())
