"""The event storage and the writers."""

from pet.engine.events import EventStorage, get_event_storage
from pet.engine.tensorboard import TensorboardXWriter
from pet.engine.writers import CommonMetricPrinter, EventWriter, JSONWriter

__all__ = [
    "CommonMetricPrinter", "EventStorage", "EventWriter", "JSONWriter", "TensorboardXWriter", "get_event_storage",
]  # fmt: skip
