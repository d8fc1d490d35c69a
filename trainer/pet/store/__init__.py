"""Checkpoints on disk, without torch: `opening` is the way in, `tenure` writes, `folder` knows what lies there."""
