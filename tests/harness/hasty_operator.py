"""`python -m harness.hasty_operator …`: the real operator, which waits a tenth as long wherever it waits for an API
server that is away, silent or slow; between two tries, too."""

from __future__ import annotations

import aiohttp
import kopf

from pet_operator import application
from pet_operator.adapters import kopf_shell, leader
from pet_operator.kube import gateway
from pet_operator.main import main
from pet_operator.runtime import queue, reflector

SECONDS = 0.1  # for each


def install() -> None:
    """From now on in this process."""
    for module, names in (
        (application, ("_LIST_RETRY_SECONDS",)),
        (leader, ("_REQUEST_SECONDS",)),
        (queue, ("_FIRST_DELAY", "_LONGEST_DELAY")),
        (reflector, ("_FIRST_DELAY", "_LONGEST_DELAY")),
    ):
        for name in names:
            setattr(module, name, getattr(module, name) * SECONDS)
    # The least that the election takes.
    leader._LEASE_SECONDS, leader._RENEW_SECONDS, leader._RETRY_SECONDS = 3, 2, 1
    gateway._TIMEOUT = aiohttp.ClientTimeout(total=3)
    gateway._WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=3)
    settings = kopf_shell._settings

    def hasty_settings() -> kopf.OperatorSettings:
        kopfs = settings()
        watching, networking = kopfs.watching, kopfs.networking
        watching.inactivity_timeout = 3
        networking.request_timeout *= SECONDS
        networking.error_backoffs = [each * SECONDS for each in networking.error_backoffs]
        return kopfs

    kopf_shell._settings = hasty_settings


if __name__ == "__main__":
    install()
    main()
