"""The store through which launchers talk, in one process, and able to be gone."""

from __future__ import annotations

import threading


class DictStore:
    """As torch's store; once `gone`, every call fails as torch's do. `calls` counts those that failed as well.

    While `answers` is not set no call comes back.
    """

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.numbers: dict[str, int] = {}
        self.gone = False
        self.calls = 0
        self.answers = threading.Event()
        self.answers.set()
        self._lock = threading.Lock()

    def set(self, key: str, value: str, /) -> None:
        self._called()
        self.values[key] = value.encode()

    def get(self, key: str, /) -> bytes:
        self._called()
        return self.values[key]

    def check(self, keys: list[str], /) -> bool:
        self._called()
        return all(key in self.values for key in keys)

    def add(self, key: str, amount: int, /) -> int:
        self._called()
        with self._lock:
            self.numbers[key] = self.numbers.get(key, 0) + amount
            return self.numbers[key]

    def _called(self) -> None:
        self.calls += 1
        self.answers.wait()
        if self.gone:
            raise RuntimeError("Broken pipe")
