"""The operator put together: what feeds the cache, what works, what watches over it, and how all of it ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from kubernetes.aio.config import ConfigException

from pet_operator.adapters.clock import SystemClock
from pet_operator.adapters.http import serving
from pet_operator.adapters.job_metrics import JobCollector
from pet_operator.adapters.kopf_shell import watch_jobs
from pet_operator.adapters.leader import lead
from pet_operator.adapters.metrics import Metrics
from pet_operator.adapters.trainer_http import TrainerHttp
from pet_operator.domain.constants import CLAIM, EVENT, JOB, LABEL_JOB_UID, NODE, POD, SERVICE
from pet_operator.domain.decision import Observed, Site
from pet_operator.kube.credentials import Credentials, load_credentials
from pet_operator.kube.gateway import KubeGateway
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.controller import Controller
from pet_operator.runtime.executor import Executor
from pet_operator.runtime.health import Health
from pet_operator.runtime.poller import Poller
from pet_operator.runtime.ports import ApiError, Manifest
from pet_operator.runtime.queue import KeyedQueue
from pet_operator.runtime.recorder import Recorder
from pet_operator.runtime.reflector import Reflector, refill
from pet_operator.runtime.store import Store
from pet_operator.runtime.warnings import FIELDS as WARNINGS
from pet_operator.runtime.witness import Witness
from pet_operator.settings import Settings

_LOG = logging.getLogger(__name__)
_OURS = LABEL_JOB_UID  # that there is one: what tells who manages an object other tools write, too
_KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
_WITHOUT_NODES = (
    "lost nodes are found by their pods alone, minutes later; grant the right to list and watch nodes, or start with"
    " --no-watch-nodes"
)
_BEAT_SECONDS, _LIST_RETRY_SECONDS, _LIST_AGAIN_SECONDS = 1.0, 5.0, 2.0


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ExceptionGroup with what ends the operator before that, ConfigException for
    an API server that it has no way to."""
    credentials = await load_credentials(settings.kubeconfig)
    if credentials.server_name is not None:  # known to our own requests, and not to kopf's
        raise ConfigException(
            "tls-server-name cannot be used by the operator; in server, give a name of the certificate"
        )
    metrics = Metrics()
    async with (
        KubeGateway(credentials, settings.namespaces, metrics.trace()) as gateway,
        TrainerHttp(metrics.poll_trace()) as trainers,
    ):
        await Operator(settings, credentials, gateway, trainers, metrics).run()


class Operator:
    """All parts of one operator process."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        gateway: KubeGateway,
        trainers: TrainerHttp,
        metrics: Metrics,
    ) -> None:
        clock = SystemClock()
        self._settings = settings
        self._credentials = credentials
        self._gateway = gateway
        self._metrics = metrics
        self._queue = KeyedQueue(metrics.queue_delay.observe)
        site = Site(cluster="", trainer_image=settings.trainer_image)  # which cluster is asked with the first list
        self._cache = Cache(site, clock, self._queue.add)
        metrics.registry.register(JobCollector(self._cache.jobs.all, self._cache.pods.items))
        watch = partial(Reflector, gateway, clock=clock, again=metrics.observe_watch)
        self._pods = watch(POD, _OURS, self._cache.pods)
        self._nodes = watch(NODE, "", self._cache.nodes, without=_WITHOUT_NODES)
        self._reflectors = (
            self._pods,
            watch(SERVICE, _OURS, self._cache.services),
            watch(CLAIM, "", self._cache.claims),  # users make those that jobs name
            *((self._nodes,) if settings.watch_nodes else ()),
        )
        # Not waited for: a job that starts is one without it, too, if with less said of it.
        self._warnings = watch(EVENT, "", self._cache.warnings, fields=WARNINGS)
        self._listed = asyncio.Event()  # all jobs, once
        self._list_again = asyncio.Event()
        self._health = Health(clock)
        self._recorder = Recorder(gateway, settings.identity)
        self._poller = Poller(self._cache, trainers, clock, self._queue.add, settings.poll_seconds)
        self._controller = Controller(
            cache=self._cache,
            queue=self._queue,
            gateway=gateway,
            executor=Executor(gateway, self._seen),
            recorder=self._recorder,
            clock=clock,
            synced=self._synced,
            witness=Witness(self._cache, gateway, self._renew),
            observe=metrics.observe_reconcile,
            wrote=metrics.observe_status,
        )

    async def run(self) -> None:
        """Until a signal, or until a part fails that the rest cannot do without."""
        settings = self._settings
        async with AsyncExitStack() as doors, asyncio.TaskGroup() as group:
            served = serving(settings.port, self._metrics.registry, self._unhealthy, self._unready)
            port = await doors.enter_async_context(served)
            _LOG.info("serving /healthz, /readyz and /metrics on port %d", port)
            leading = lead(self._gateway, settings.lease_namespace, settings.identity, self._lead)
            watches = (reflector.run() for reflector in (*self._reflectors, self._warnings))
            work = (*watches, self._resync(), self._beat(), leading)
            parts = [group.create_task(part) for part in work]

            async def end() -> None:
                for part in parts:
                    part.cancel()
                await asyncio.wait(parts)
                await doors.aclose()

            await watch_jobs(self._credentials, settings.namespaces, self._on_job, end)
        _LOG.info("stopped")

    async def _lead(self) -> None:
        """What only one operator may do."""
        self._metrics.leader.set(1)
        await self._listed.wait()
        for reflector in self._reflectors:
            await reflector.synced.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.run(self._settings.workers))
            group.create_task(self._poller.run())
            group.create_task(self._recorder.run())

    async def _resync(self) -> None:
        """List all jobs: at the start, each few minutes, and when kopf has lost its watch: of those that were deleted
        meanwhile it never tells."""
        while True:
            self._list_again.clear()
            try:
                await self._list()
            except (ApiError, OSError, TimeoutError) as error:
                _LOG.warning("cannot list jobs: %s", error)
                await asyncio.sleep(_LIST_RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(self._settings.resync_seconds):
                    await self._list_again.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_LIST_AGAIN_SECONDS)  # kopf tells of its list job by job

    async def _list(self) -> None:
        """All jobs; before the first ones, which cluster this is. An API server that is away is waited for."""
        if not self._cache.site.cluster and (system := await self._gateway.get_path(_KUBE_SYSTEM)) is not None:
            self._cache.site = replace(self._cache.site, cluster=system["metadata"]["uid"])
        await refill(self._cache.jobs, self._gateway.pages(JOB, ""))
        self._listed.set()

    def _on_job(self, kind: str | None, manifest: dict[str, Any]) -> None:
        """An event of a job, from kopf; without a kind it comes from a list of kopf's own."""
        if kind == "DELETED":
            self._cache.jobs.remove(manifest)
            return
        if kind is None and self._listed.is_set() and not self._list_again.is_set():
            self._list_again.set()
        self._cache.jobs.put(manifest)

    def _seen(self, plural: str, manifest: Manifest) -> None:
        """An object as the API server answered our own write of it."""
        cache = self._cache
        stores: dict[str, Store[Any]] = {
            POD.plural: cache.pods,
            SERVICE.plural: cache.services,
            CLAIM.plural: cache.claims,
        }
        if (store := stores.get(plural)) is not None:
            store.put(manifest)

    async def _beat(self) -> None:
        """Watch over this process's own event loop."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._metrics.loop_lag.set(loop.time() - due)
            self._metrics.queue_depth.set(len(self._queue))
            self._metrics.dropped_events.set(self._recorder.dropped)
            self._health.beat()

    def _synced(self) -> bool:
        return self._listed.is_set() and all(reflector.synced.is_set() for reflector in self._reflectors)

    async def _renew(self, observed: Observed) -> bool:
        """See that what the job is judged by is as it is now. Whether something had to be listed for that."""
        listed = await self._pods.renew()
        return (bool(observed.unready) and await self._nodes.renew()) or listed

    def _unhealthy(self) -> str:
        return self._health.fault((*self._reflectors, self._warnings), self._queue.oldest())

    def _unready(self) -> str:
        if not self._synced():
            return "jobs, pods, Services and claims are not all listed yet"
        return ""
