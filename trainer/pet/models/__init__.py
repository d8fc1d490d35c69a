"""Backbones and other parts that several tasks build their models from."""
