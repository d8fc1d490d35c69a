"""What a rank writes, on its way through the launcher."""

from __future__ import annotations

import io
import os
import select

from pet.launch.output import RankOutput

LIMIT = 60  # seconds; a bound against hanging


def test_nothing_is_lost_where_the_launcher_s_output_is_non_blocking_and_its_reader_slow() -> None:
    """Another program on the same terminal or pipe may have switched it."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    written = b"".join(b"line %06d\n" % number for number in range(50_000))
    output = RankOutput(io.BytesIO(written), write_end, 0)
    while output.is_alive() and select.select([], [write_end], [], 0)[1]:
        pass  # until the pipe is full
    received = b""
    while len(received) < len(written) and select.select([read_end], [], [], LIMIT if output.is_alive() else 0)[0]:
        received += os.read(read_end, 1 << 16)
    output.join(LIMIT)
    os.close(read_end)
    os.close(write_end)
    assert received == written
