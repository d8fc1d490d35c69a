"""The checkpointer."""

from pet.engine.checkpointer import CheckPointer

__all__ = ["CheckPointer"]
