"""`python -m pet.config.catalogue` in the root of a checkout: write the catalogue of what is there."""

from __future__ import annotations

from pathlib import Path

from pet.config.catalogue import FILE, write

if __name__ == "__main__":
    write(Path.cwd(), Path(__file__).with_name(FILE))
