"""kopf's part: it watches PetTrainingJobs and hands each event on. Nothing is decided or written here.

The only module that knows kopf. Its handlers for creation, updates and deletion are not used: they keep their state in
annotations of the object, which fails for large specs, and tell nothing of what happened while a watch was down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from pet_operator.domain.constants import GROUP, JOB
from pet_operator.kube.credentials import Credentials

# (type, manifest): ADDED, MODIFIED, DELETED, or None while kopf lists.
OnEvent = Callable[[str | None, dict[str, Any]], None]


class CredentialsRefused(Exception):
    """The API server does not take us for whom we say that we are, and we know of no newer token."""


async def watch_jobs(
    credentials: Credentials, namespaces: frozenset[str], on_event: OnEvent, end: Callable[[], Awaitable[None]]
) -> None:
    """Run kopf until SIGTERM or SIGINT, which it catches. Raises CredentialsRefused.

    `end` is to end all other work of the event loop: kopf takes each task that was begun since for its own, and would
    wait five seconds before it cancels them. It is awaited when kopf ends by itself, not when it is cancelled.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection(credentials)

    @kopf.on.event(JOB.api_version, JOB.plural, registry=registry)
    async def event(event: kopf.RawEvent, **_: Any) -> None:
        on_event(event["type"], dict(event["object"]))

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        await end()

    try:
        await kopf.operator(
            registry=registry,
            settings=_settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=sorted(namespaces),
        )
    except kopf.LoginError as error:  # its words are of client libraries and login handlers
        raise CredentialsRefused(f"{credentials.server} refuses its credentials (401 Unauthorized)") from error


async def connection(credentials: Credentials) -> kopf.ConnectionInfo:
    """The way to the API server, in kopf's words. It has none for the name of a certificate."""
    configuration = credentials.configuration
    scheme, _space, token = (await credentials.authorization() or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=credentials.server,
        proxy_url=credentials.proxy,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=(scheme.capitalize() or "Bearer") if token else None,
        token=token or None,
    )


class _Unread(kopf.DiffBaseStorage):
    """What kopf compares each version of a job with, for handlers that we have none of. It would copy every job several
    times, which is most of what kopf costs."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # else it lists and watches all CRDs and namespaces
    settings.posting.enabled = False
    settings.persistence.finalizer = f"{GROUP}/kopf-finalizer"  # none is ever set
    settings.persistence.diffbase_storage = _Unread()
    settings.watching.server_timeout = 600
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    # kopf ends when these are used up: about five minutes, so that an upgrade of the API server is no crash loop.
    settings.networking.error_backoffs = [1, 2, 5, 10, *[15] * 20]
    return settings
