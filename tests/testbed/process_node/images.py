"""Images, of which a process node has none: by their names alone some of them cannot be had."""

from __future__ import annotations

import re

from testbed.process_node.errors import NotYet

ABSENT = "absent.invalid/"  # the registry where no image is
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")


def pull(image: str) -> None:
    """Raises NotYet, with a kubelet's words."""
    if not _NAME.fullmatch(image):
        raise NotYet("InvalidImageName", f'couldn\'t parse image name "{image}": invalid reference format')
    if image.startswith(ABSENT):
        raise NotYet("ErrImagePull", f'failed to pull image "{image}": {image}: not found')
