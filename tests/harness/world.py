"""A small world around the operator's runtime: pods that start, step, end and vanish, nodes that are cut off, news that
come late, operators that die between two writes. It watches over what must hold at every moment, whatever happens."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from harness.jobs import cpu_manifest
from harness.memory_api import MemoryApi, Object
from harness.memory_operator import KEY, MemoryOperator, submit
from harness.observing import report
from harness.timeless import NOON, LoopClock
from pet_operator.domain.codec import decode, read_time, write_time
from pet_operator.domain.constants import (
    CLAIM,
    JOB,
    LABEL_ATTEMPT,
    LABEL_NODE_INDEX,
    NODE,
    POD,
    RESTART_REQUESTED,
    TAKE_OVER,
    Kind,
)
from pet_operator.domain.reasons import REASONS
from pet_operator.domain.status import JobStatus
from pet_operator.runtime.poller import Poller
from pet_operator.runtime.ports import Key, Listing, Manifest

MAX_ITERATIONS = 1000
RIVAL, SHARED = "rival", "ckpts"


class Death(BaseException):
    """The operator's process is gone."""


class World:
    """One job, and another one that may want its checkpoint folder, of some other controller. The methods are what may
    happen; each leaves the operator time to react, if it has heard of it."""

    def __init__(self, **spec: Any) -> None:
        self.api = MemoryApi()
        self.iteration = 0
        self.deaths = 0
        self._clock = LoopClock()
        self._news: list[tuple[str, Kind, Object]] = []
        self._status = JobStatus()
        self._made: set[str] = set()
        self._lost: set[str] = set()  # names of pods that somebody else has removed
        self._faults: list[str] = []
        self._restarts = 0  # in place, of the launchers that run
        self._cut: dict[str, bool] = {}  # nodes that were ever cut off, and whether they are
        self._asked_to_go: dict[str, float] = {}  # when, by the pod's uid
        self._idle = 0.1  # since the ranks' last step, in seconds
        self._passed = 0.0  # seconds of the job, by its account
        self._addresses = 0
        self._rival = "uid-of-nobody"
        submit(self.api, **spec)
        for spare in range(20):  # never so many are cut off that it is no fault of theirs
            self._node(f"spare-{spare}", cut=False)
        self._cut.clear()
        self.api.told = self._happened
        self._found()

    def _found(self) -> None:
        """A new operator."""
        self.gateway = Mortal(self)
        self.operator = MemoryOperator(self.api, self.gateway)
        self._poller = Poller(self.operator.cache, self, self._clock, self.operator.queue.add, 5.0)

    async def live(self, history: Iterable[tuple[Any, ...]]) -> None:
        """What happens, in this order: each a method, and its arguments."""
        for what, *arguments in history:
            await getattr(self, what)(*arguments)

    async def begin(self) -> None:
        """The operator sees what there is."""
        self._news.clear()
        await self.operator.list()
        await self.react()

    async def react(self, seconds: float = 0.0) -> None:
        """Let the operator work; if it dies, another begins. Raises AssertionError if it did what it must not: at the
        moment itself the operator would take that for an answer of the API server."""
        try:
            await self.operator.work(seconds)
        except BaseExceptionGroup as group:
            if group.split(Death)[1] is not None:
                raise
            self.deaths += 1
            await self.succeed()
        assert self._faults == []

    async def succeed(self) -> None:
        """Another operator takes over."""
        self._found()
        await self.begin()

    async def hear(self, number: int | None = None) -> None:
        """The operator hears of the next changes; None: of all."""
        heard, self._news = self._news[:number], self._news[number:] if number is not None else []
        for news in heard:
            self.operator.news(*news)
        await self.react()

    async def ask(self) -> None:
        """The launchers are asked."""
        await self._poller.round()
        await self.react()

    async def wait(self, seconds: float) -> None:
        """Time goes by."""
        await self.react(seconds)

    def die(self, writes: int, *, answered: bool) -> None:
        """The operator will die at so many writes from now; `answered`: the API server has taken the last of them."""
        self.gateway.lives = writes
        self.gateway.answered = answered

    async def start(self, which: int) -> None:
        """A pod begins to run."""
        if pod := self._pick(which, "Pending"):
            placed = pod | {"spec": pod["spec"] | {"nodeName": _place(pod)}}
            self._change(placed, phase="Running", podIP=self._address())

    async def start_all(self) -> None:
        """All of them do."""
        for _ in range(len(self.api.all(POD))):
            await self.start(0)

    async def step(self, iterations: int) -> None:
        """The ranks get further."""
        self.iteration = min(MAX_ITERATIONS, self.iteration + iterations)
        self._idle = 0.1

    async def hang(self) -> None:
        """The ranks make no step any more."""
        self._idle = 100.0

    async def restart_in_place(self) -> None:
        """The ranks are started again by their launchers."""
        self._restarts += 1

    async def end(self, which: int, code: int, told: bool = True) -> None:
        """A pod's launcher ends; `told`: it leaves a message."""
        if pod := self._pick(which, "Running"):
            self._end(pod, code, told)

    async def finish(self) -> None:
        """All launchers end well."""
        self.iteration = MAX_ITERATIONS
        for pod in self.api.all(POD):
            if pod.get("status", {}).get("phase") == "Running" and not self._is_cut(pod):
                self._end(pod, 0, True)

    async def run_out_of_memory(self, which: int) -> None:
        """The kernel ends a whole container."""
        if pod := self._pick(which, "Running"):
            self._end(pod, 137, False, "OOMKilled")

    async def cut_off(self, which: int) -> None:
        """A node is not heard of any more, and what runs there goes on."""
        if pod := self._pick(which, "Running"):
            self._node(pod["spec"]["nodeName"], cut=True)

    async def rejoin(self) -> None:
        """All nodes are there again."""
        for name in [name for name, cut in self._cut.items() if cut]:
            self._node(name, cut=False)

    async def vanish(self, which: int) -> None:
        """A pod is gone without a trace. One that has finished stays: that it has would be known to the operator that
        saw it alone, whose successor has to begin another attempt."""
        if (pod := self._pick(which)) and pod.get("status", {}).get("phase") != "Succeeded":
            self._lost.add(pod["metadata"]["name"])
            self.api.drop(POD, pod["metadata"]["name"])

    async def evict(self, which: int) -> None:
        """A pod is taken away: it is still there, ended by a signal."""
        if pod := self._pick(which, "Running"):
            pod["metadata"]["deletionTimestamp"] = write_time(self._clock.now())
            conditions = [{"type": "DisruptionTarget", "status": "True"}]
            self._end(pod | {"status": pod["status"] | {"conditions": conditions}}, 143, False)
            self._lost.add(pod["metadata"]["name"])

    async def suspend(self, wanted: bool) -> None:
        """A person suspends the job, or has it go on."""
        job = self._job()
        if job["spec"].get("suspend", False) != wanted:
            generation = job["metadata"]["generation"] + 1
            metadata = job["metadata"] | {"generation": generation}
            self.api.put(JOB, job | {"metadata": metadata, "spec": job["spec"] | {"suspend": wanted}})

    async def request(self) -> None:
        """A person asks for a restart."""
        self._annotate(RESTART_REQUESTED, write_time(self._clock.now()))

    async def take_over(self) -> None:
        """A person wants the job to go on in the folder of the other one, whether that is still there or not."""
        self._annotate(TAKE_OVER, self._rival)

    async def rival(self, there: bool) -> None:
        """A person makes an older job that writes to the same folder, or deletes it."""
        if there and RIVAL not in self._names(JOB):
            spec = {"managedBy": "example.com/other", "checkpoint": {"volume": {"claimName": SHARED}, "path": "job"}}
            rival = cpu_manifest(RIVAL, **spec)
            rival["metadata"]["creationTimestamp"] = write_time(NOON - timedelta(days=1))
            self._rival = self.api.put(JOB, rival)["metadata"]["uid"]
        if not there:
            self.api.drop(JOB, RIVAL)

    async def claim(self, there: bool) -> None:
        """A person makes the claim that the job may name, or deletes it."""
        if there and not self._names(CLAIM):
            self.api.put(CLAIM, {"metadata": {"name": SHARED}, "spec": {"accessModes": ["ReadWriteMany"]}})
        if not there:
            self.api.drop(CLAIM, SHARED)

    async def kubelet(self) -> None:
        """What was to be deleted has ended, and goes."""
        for pod in self.api.all(POD):
            if "deletionTimestamp" in pod["metadata"] and not self._is_cut(pod):
                self._end(pod, 143, True)
                self.api.drop(POD, pod["metadata"]["name"])

    async def status(self, address: str, port: int) -> Manifest:
        """What the launcher at this address answers (`pet_operator.runtime.ports.TrainerClient`)."""
        for pod in self.api.all(POD):
            status = pod.get("status", {})
            if (status.get("podIP"), status.get("phase")) == (address, "Running") and not self._is_cut(pod):
                return self._answer(pod)
        raise ConnectionError("nobody is there")

    async def calm(self) -> int:
        """Nothing happens any more: in how many rounds, each with all news and a minute, the operator comes to rest."""
        for rounds in range(20):
            before = len(self.api.writes)
            await self.kubelet()
            await self.hear()
            await self.wait(70)
            if len(self.api.writes) == before:
                return rounds
        raise AssertionError(f"never rests: {self.api.writes[-10:]}")

    def job(self) -> JobStatus:
        """The status that the API server has."""
        return self._status

    def is_wanted(self) -> bool:
        """Whether the newest attempt is one that nobody asked to end."""
        job = self._job()
        annotations = job["metadata"].get("annotations", {})
        requested = read_time(annotations.get(RESTART_REQUESTED))
        done, deadline = self._status.restart_requested, job["spec"].get("deadlines", {}).get("activeSeconds")
        began = self._status.start_time
        late = None not in (deadline, began) and self._clock.now() >= began + timedelta(seconds=deadline)
        return not (job["spec"].get("suspend") or late or (requested and (done is None or requested > done)))

    def may_be_lost(self, pod: Object) -> bool:
        """Whether an operator may think so: the pod's node was cut off once, or it does not end in its time."""
        asked = self._asked_to_go.get(pod["metadata"]["uid"], self._clock.monotonic())
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
        return pod["spec"].get("nodeName") in self._cut or self._clock.monotonic() - asked >= grace + 30

    def demand(self, holds: bool, fault: str) -> None:
        """What must hold at this moment."""
        if not holds:
            self._faults.append(fault)

    def has_to_wait(self) -> bool:
        """Whether the job may not begin, not again either."""
        if self._job()["spec"]["checkpoint"].get("volume", {}).get("claimName") != SHARED:
            return False
        rival = RIVAL in self._names(JOB)
        asks = self._job()["metadata"].get("annotations", {}).get(TAKE_OVER, "")
        first = self._status.attempt == 0
        return not self._names(CLAIM) or (rival and (first or asks == self._rival))

    def _job(self) -> Object:
        return next(job for job in self.api.all(JOB) if job["metadata"]["name"] == KEY.name)

    def _names(self, kind: Kind) -> list[str]:
        return [each["metadata"]["name"] for each in self.api.all(kind)]

    def _annotate(self, name: str, value: str) -> None:
        job = self._job()
        annotations = job["metadata"].get("annotations", {}) | {name: value}
        self.api.put(JOB, job | {"metadata": job["metadata"] | {"annotations": annotations}})

    def judge_deletion(self, name: str) -> Object | None:
        """A pod of the attempt that counts is never touched; returns the pod of this name."""
        for pod in self.api.all(POD):
            if pod["metadata"]["name"] == name:
                former = int(pod["metadata"]["labels"][LABEL_ATTEMPT]) < self._status.attempt
                self.demand(former or self._status.finished or not self.is_wanted(), f"{name} was healthy")
                return pod
        return None

    def _address(self) -> str:
        """Of the next pod that runs."""
        self._addresses += 1
        return f"10.0.0.{self._addresses}"

    def _pick(self, which: int, *phases: str) -> Object | None:
        pods = [each for each in self.api.all(POD) if "deletionTimestamp" not in each["metadata"]]
        pods = [each for each in pods if not (phases and self._is_cut(each))]  # nobody would hear of it
        pods = [each for each in pods if not phases or each.get("status", {}).get("phase", "Pending") in phases]
        return pods[which % len(pods)] if pods else None

    def _change(self, pod: Object, **status: Any) -> None:
        self.api.put(POD, pod | {"status": pod.get("status", {}) | status})

    def _is_cut(self, pod: Object) -> bool:
        return self._cut.get(pod["spec"].get("nodeName", ""), False)

    def _node(self, name: str, *, cut: bool) -> None:
        self._cut[name] = cut
        ready = {"type": "Ready", "status": "Unknown" if cut else "True", "message": "not heard of" if cut else ""}
        self.api.put(NODE, {"metadata": {"name": name}, "status": {"conditions": [ready]}})

    def _end(self, pod: Object, code: int, told: bool, reason: str = "Error") -> None:
        left = max(0, 2 - self._restarts)
        numbers = {"iteration": self.iteration, "maxIterations": MAX_ITERATIONS, "resumedFrom": None}
        words = report(code, iteration=self.iteration, progress=numbers, checkpoint=self._saved(), restartsLeft=left)
        state = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else reason,
            "finishedAt": write_time(self._clock.now()),
            "message": json.dumps(words) if told else "",
        }
        containers = [{"name": "trainer", "state": {"terminated": state}}]
        self._change(pod, phase="Failed" if code else "Succeeded", containerStatuses=containers)

    def _saved(self) -> Object | None:
        """A checkpoint each hundred iterations."""
        last = self.iteration // 100 * 100
        return {"iteration": last, "file": f"{last}.pth", "bytes": 1, "verified": True} if last else None

    def _answer(self, pod: Object) -> Object:
        labels = pod["metadata"]["labels"]
        leads = labels["pet.dev/node-index"] == "0"
        saved = self._saved()
        return {
            "schema": 1,
            "uid": labels["pet.dev/job-uid"],
            "attempt": int(labels[LABEL_ATTEMPT]),
            "restarts": self._restarts,
            "state": "training",
            "iteration": self.iteration if leads else None,
            "maxIterations": MAX_ITERATIONS if leads else None,
            "losses": {"total": 1 / (1 + self.iteration)} if leads else None,
            "checkpoint": saved | {"ageSeconds": 1.0} if saved and leads else None,
            "stepSeconds": 0.1 if leads else None,
            "accounting": {"productiveSeconds": self.iteration / 10, "redoSeconds": 1.0} if leads else None,
            "ranks": [{"section": "step", "lastStepAgeSeconds": self._idle if self.iteration else None}] * 2,
        }

    def _happened(self, type_: str, kind: Kind, manifest: Object) -> None:
        """Everything that is written, by whomever: it becomes news, and must be right."""
        self._news.append((type_, kind, manifest))
        if kind is JOB and type_ != "DELETED" and manifest["metadata"]["name"] == KEY.name:
            self._judge_status(decode(JobStatus, manifest.get("status")))
        if kind is POD and "deletionTimestamp" in manifest["metadata"]:
            self._asked_to_go.setdefault(manifest["metadata"]["uid"], self._clock.monotonic())
        if kind is POD and type_ == "ADDED":
            self._judge_pod(manifest)

    def _judge_status(self, new: JobStatus) -> None:
        had_to_wait = self.has_to_wait()
        old, self._status = self._status, new
        self.demand(new.attempt in (old.attempt, old.attempt + 1), "an attempt was skipped, or went back")
        self.demand(new.restarts >= old.restarts, "restarts went back")
        asked = old.phase == "Failed" and self._is_asked(new, old)
        same = (new.phase, new.reason, new.attempt) == (old.phase, old.reason, old.attempt)
        self.demand(same or asked or not old.finished, "what was over is not")
        begins = new.attempt > old.attempt and (old.attempt == 0 or old.current.ended_at is not None)
        # What the operator has not heard of yet it cannot know.
        heard = not any(kind is CLAIM or manifest["metadata"]["name"] == RIVAL for _, kind, manifest in self._news)
        self.demand(not (begins and heard and had_to_wait), "a job began without what it needs")
        self._judge_account(old, new)
        given = [new.reason, *(each.reason for each in (*new.conditions, *new.attempts))]
        assert set(given) - {""} <= REASONS.keys(), "a reason that nobody can look up"

    def _judge_account(self, old: JobStatus, new: JobStatus) -> None:
        if old.accounting is None or new.accounting is None:
            return
        since, until = old.accounting.counted_until, new.accounting.counted_until
        assert since is not None
        assert until is not None
        if old.phase not in ("Suspended", "Succeeded", "Failed"):
            self._passed += (until - since).total_seconds()
        counted = new.accounting.productive_seconds + sum(asdict(new.accounting.lost_seconds).values())
        self.demand(counted == self._passed, "seconds were lost, or counted twice")

    def _is_asked(self, new: JobStatus, old: JobStatus) -> bool:
        """Whether the job goes on by a request to restart: one that is met now, or will be once it may begin."""
        asked = read_time(self._job()["metadata"].get("annotations", {}).get(RESTART_REQUESTED))
        done = old.restart_requested
        return new.restart_requested != done or (asked is not None and (done is None or asked > done))

    def _judge_pod(self, pod: Object) -> None:
        name, attempt = pod["metadata"]["name"], pod["metadata"]["labels"][LABEL_ATTEMPT]
        self.demand(attempt == str(self._status.attempt), "a pod of another attempt than is written")
        self.demand(not self._status.finished, "a pod of a job that has finished")
        self.demand(name not in self._made - self._lost, "a pod was made twice")
        self._made.add(name)
        uid = next(e["value"] for e in pod["spec"]["containers"][0]["env"] if e["name"] == "PETJOB_TAKEOVER_UID")
        self.demand(
            uid not in [job["metadata"]["uid"] for job in self.api.all(JOB)], "the folder of a job that is there"
        )
        for other in self.api.all(POD):
            over = other.get("status", {}).get("phase") in ("Succeeded", "Failed")
            self.demand(over or other["metadata"]["labels"][LABEL_ATTEMPT] == attempt, "pods of two attempts at once")
        self._restarts = 0


def _place(pod: Object) -> str:
    """The node with the number of the pod, and the next one where that is to be avoided."""
    index = int(pod["metadata"]["labels"][LABEL_NODE_INDEX])
    terms = (pod["spec"].get("affinity") or {}).get("nodeAffinity", {})
    preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    avoided = {name for each in preferred for name in each["preference"]["matchExpressions"][0]["values"]}
    return next(node for node in (f"node-{number}" for number in itertools.count(index)) if node not in avoided)


class Mortal:
    """The way to the API server of one operator, which may die at a write."""

    def __init__(self, world: World) -> None:
        self.lives: int | None = None
        self.answered = True
        self._world = world
        self._dead = False

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """As the API server does; a healthy operator never makes a pod that is there."""
        names = [pod["metadata"]["name"] for pod in self._world.api.all(POD)]
        name = manifest["metadata"]["name"]
        self._world.demand(bool(kind is not POD or self._world.deaths or name not in names), f"{name} is there")
        return await self._write(lambda: self._world.api.create(kind, manifest))

    async def delete(self, kind: Kind, key: Key, *, uid: str, grace: int | None = None) -> Manifest | None:
        """As the API server does; a pod of the attempt that counts is never touched, and none whose kubelet may still
        answer is removed by force."""
        if kind is POD and (pod := self._world.judge_deletion(key.name)) is not None:
            self._world.demand(grace is None or self._world.may_be_lost(pod), f"{key.name} was not lost")
        return await self._write(lambda: self._world.api.delete(kind, key, uid=uid, grace=grace))

    async def apply_status(self, key: Key, status: Manifest, *, uid: str, resource_version: str) -> Manifest:
        """As the API server does."""
        self._world.demand(key == KEY, f"{key} is another controller's")
        return await self._write(
            lambda: self._world.api.apply_status(key, status, uid=uid, resource_version=resource_version)
        )

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """As the API server does."""
        self._live()
        return await self._world.api.get(kind, key)

    async def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        """As the API server does."""
        self._live()
        yield await self._world.api.list(kind, selector)

    def watch(self, kind: Kind, selector: str, resource_version: str, fields: str = "") -> Any:
        """Nothing is watched: the world tells."""
        return self._world.api.watch(kind, selector, resource_version)

    async def _write(self, write: Any) -> Any:
        self._live()
        if self.lives is not None:
            self.lives -= 1
            self._dead = self.lives <= 0
            if self._dead and not self.answered:
                raise Death
        answer = await write()
        self._live()
        return answer

    def _live(self) -> None:
        if self._dead:
            raise Death
