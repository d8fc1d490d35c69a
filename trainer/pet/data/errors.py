"""What goes wrong while a sample is read."""

from __future__ import annotations


class SampleError(Exception):
    """A sample cannot be read or transformed; the message names its number and its file."""
