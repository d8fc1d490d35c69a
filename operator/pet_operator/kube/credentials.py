"""Where the API server is and who we are: from a kubeconfig or from the pod, read by the Kubernetes client library."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from pet_operator.kube.proxies import proxy_of

_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Credentials:
    """An API server and a way to speak with it. Tokens are read anew as they expire.

    `namespace` is where whoever they belong to works: the kubeconfig's, or the pod's.
    """

    configuration: Configuration
    namespace: str = "default"

    @property
    def server(self) -> str:
        """The address, without a slash at its end."""
        return str(self.configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """The address of the HTTP proxy that leads to the server."""
        return str(self.configuration.proxy) if self.configuration.proxy else None

    @property
    def server_name(self) -> str | None:
        """Whose certificate the server must show, None: that of the host in its address."""
        return str(self.configuration.tls_server_name) if self.configuration.tls_server_name else None

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


async def load_credentials(kubeconfig: str | None, context: str | None = None) -> Credentials:
    """From this kubeconfig, else from the pod that we run in, else from the user's kubeconfig.

    `context` is one of the kubeconfig's, None for its current one. Raises config.ConfigException, for the user to read.
    """
    configuration = Configuration()
    if kubeconfig is None and (_IN_CLUSTER / "token").exists():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return _by_proxy(Credentials(configuration, (_IN_CLUSTER / "namespace").read_text().strip()))
    path = kubeconfig or users_kubeconfig()
    if path is None or not _exists(path):
        raise config.ConfigException(f"there is no kubeconfig {path or '(in KUBECONFIG or ~/.kube/config)'}")
    try:
        loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=path, context=context, client_configuration=configuration
        )
    except (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise config.ConfigException(f"{path} is no kubeconfig that can be read: {error}") from error
    if hasattr(loader, "exec_plugin_expiry"):
        configuration.refresh_api_key_hook = partial(_renew, loader)  # type: ignore[assignment]
    chosen = loader.current_context["context"]
    credentials = Credentials(configuration, chosen.get("namespace") or "default")
    return _by_proxy(credentials, f"proxy-url of cluster {chosen['cluster']}")


def users_kubeconfig() -> str | None:
    """The kubeconfig that kubectl takes: one file, or several with the system's separator between them."""
    place = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return place if _exists(place) else None


def _exists(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)


def _by_proxy(credentials: Credentials, field: str = "") -> Credentials:
    """With the proxy that the environment names where the kubeconfig's `field` names none. Raises
    config.ConfigException if it cannot be used. The address may hold a password: it is not repeated."""
    if credentials.proxy is None:
        try:
            field, credentials.configuration.proxy = proxy_of(credentials.server, os.environ) or ("", None)
        except ValueError as error:
            raise config.ConfigException(f"the server {credentials.server} is no address: {error}") from error
    address = credentials.proxy
    if address is None:
        return credentials
    with suppress(ValueError):  # a port that is none, a bracket too much
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return credentials
    raise config.ConfigException(
        f"{field} is no http://HOST:PORT or https://HOST:PORT; a proxy of another kind, such as socks5, cannot be used"
    )


async def _renew(loader: Any, configuration: Configuration) -> None:
    """Ask a plug-in for another token once its last one has expired."""
    await loader.load_from_exec_plugin()
    configuration.api_key["BearerToken"] = loader.token
