"""Where the API server is and who we are: from a kubeconfig or from the pod, read by the Kubernetes client library."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

_IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True)
class Credentials:
    """An API server and a way to speak with it. Tokens are read anew as they expire."""

    configuration: Configuration

    @property
    def server(self) -> str:
        """The address, without a slash at its end."""
        return str(self.configuration.host).rstrip("/")

    def tls(self) -> ssl.SSLContext:
        """What the server must prove, and what we do."""
        context = ssl.create_default_context(cafile=self.configuration.ssl_ca_cert)
        if self.configuration.cert_file:
            context.load_cert_chain(self.configuration.cert_file, self.configuration.key_file)
        if not self.configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def authorization(self) -> str | None:
        """The Authorization header, None where a certificate speaks for us."""
        key = await self.configuration.get_api_key_with_prefix("BearerToken")
        return str(key) if key else None


async def load_credentials(kubeconfig: str | None) -> Credentials:
    """From this kubeconfig, else from the pod that we run in, else from the user's kubeconfig.

    Raises config.ConfigException if there is none.
    """
    configuration = Configuration()
    if kubeconfig is None and _IN_CLUSTER_TOKEN.exists():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, client_configuration=configuration
        )
    return Credentials(configuration)
