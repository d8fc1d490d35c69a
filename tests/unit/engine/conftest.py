from __future__ import annotations

from hypothesis import settings

# The first example of a test may be the one that imports half of torch.
settings.register_profile("engine", deadline=None)
settings.load_profile("engine")
