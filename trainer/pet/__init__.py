"""Pet: the training library. Import its parts (`pet.config`, `pet.engine`, …); this package itself imports nothing."""

__version__ = "0.1.0"
