"""What goes wrong while fetching."""

from __future__ import annotations


class SourceError(Exception):
    """A source does not have the data set, cannot be reached, or gave something damaged. The next one is tried."""


class FetchError(Exception):
    """No source had the data set; the message lists what was tried and names the folder to fill by hand."""
