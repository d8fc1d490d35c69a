"""The operator's own log, for people or for machines: lines about a job say in JSON which one, and in which attempt."""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)

_FIELDS = {"asctime": "time", "levelname": "level", "name": "logger"}
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def set_up(form: str) -> None:
    """Log to stderr from now on, as one of `FORMATS`."""
    names = (*_FIELDS, "message")
    handler = logging.StreamHandler()
    if form == JSON:
        pattern = " ".join(f"%({name})s" for name in names)
        handler.setFormatter(JsonFormatter(pattern, datefmt=_TIME, rename_fields=_FIELDS))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt=_TIME))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("kopf").setLevel(logging.WARNING)
