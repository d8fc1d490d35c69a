"""The reasons that the operator gives, for readers: docs/reasons.md."""

from __future__ import annotations

from pet_operator.domain.reasons import reference

if __name__ == "__main__":
    print(reference(), end="")
