"""Of ranks that wait for one another the lowest is the one that is waited for."""

from __future__ import annotations

import pytest

from pet.runfiles.place import Place, place


@pytest.mark.parametrize(
    ("waited_for", "waits"),
    [
        (place(11, 9, "step"), place(12, 9, "data")),
        (place(12, 9, "data"), place(12, 9, "step")),
        (place(12, 9, "step"), place(12, 10, "step")),
        # In a hook between a step and the save after it, and in one behind the save.
        (place(12, 9, "step"), place(12, 10, "save")),
        (place(12, 12, "save"), place(12, 13, "step")),
        (place(0, 0, "init"), place(0, 0, "save")),
        (place(12, 9, "step"), place(12, 9, "something of a newer launcher")),
    ],
)
def test_whoever_has_come_less_far_is_waited_for(waited_for: Place, waits: Place) -> None:
    assert waited_for < waits
