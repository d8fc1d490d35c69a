"""Carrying out what was decided: all that is possible, and what to make of each answer."""

from __future__ import annotations

from typing import Any

import pytest
from harness.memory_api import MemoryApi, refuse
from harness.observing import SITE, UID, job

from pet_operator.domain import manifests
from pet_operator.domain.constants import CLAIM, CONFIG_MAP, LABEL_JOB_UID, POD, SERVICE, Kind
from pet_operator.domain.decision import Action, Create, Delete
from pet_operator.runtime.executor import Executor, Refused
from pet_operator.runtime.ports import ApiError, Gone, Key, Manifest

OWNER = Key("default", "job")
JOB = job(nodes=3, config="A: 1", checkpoint={"volume": {"size": "1Gi"}})
CREATES: tuple[Create, ...] = (
    manifests.service(JOB, "s"),
    *manifests.shared(JOB, "s"),
    *(manifests.pod(JOB, SITE, "s", 1, index, 3) for index in range(3)),
)


class Bench:
    """An executor, its API server, and what it told the cache."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.seen: list[tuple[str, str]] = []
        self._executor = Executor(self.api, self._see)

    async def do(self, *actions: Action) -> list[Exception]:
        """The errors that carrying them out ended with."""
        try:
            await self._executor.execute(actions, OWNER, UID)
        except ExceptionGroup as group:
            return list(group.exceptions)
        return []

    def _see(self, plural: str, manifest: Manifest) -> None:
        self.seen.append((plural, manifest["metadata"]["name"]))

    def written(self) -> list[str]:
        return [f"{verb} {name}" for verb, _, name in self.api.writes]


def refusing(kind: Kind, error: Exception, name: str = "") -> Any:
    def fault(verb: str, its: Kind, its_name: str) -> None:
        if its is kind and verb != "get" and its_name.endswith(name):
            raise error

    return fault


async def test_shared_objects_are_made_before_pods() -> None:
    bench = Bench()
    assert await bench.do(*CREATES) == []
    assert [plural for _, plural, _ in bench.api.writes] == [
        "services", "configmaps", "persistentvolumeclaims", "pods", "pods", "pods",
    ]  # fmt: skip


async def test_what_was_made_is_known_before_a_watch_tells_of_it() -> None:
    bench = Bench()
    await bench.do(*CREATES)
    shared = [("services", "job"), ("persistentvolumeclaims", "job-checkpoints")]
    assert bench.seen == [*shared, *(("pods", f"job-1-{index}") for index in range(3))]


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), ApiError(500, "", "no"), ConnectionError("away")])
async def test_without_what_they_need_no_pods_are_made(error: Exception) -> None:
    bench = Bench()
    bench.api.fault = refusing(CONFIG_MAP, error)
    assert len(await bench.do(*CREATES)) == 1
    assert [plural for _, plural, _ in bench.api.writes] == ["services", "persistentvolumeclaims"]


async def test_a_pod_that_cannot_be_made_does_not_keep_the_others_from_it() -> None:
    bench = Bench()
    bench.api.fault = refusing(POD, TimeoutError(), "-1")
    (error,) = await bench.do(*CREATES)
    assert isinstance(error, TimeoutError)
    assert bench.written()[-2:] == ["create job-1-0", "create job-1-2"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "BadRequest"), (403, "Forbidden"), (404, "NotFound"), (422, "Invalid")],
)
async def test_what_the_api_server_will_not_have_says_which_object_and_why(status: int, reason: str) -> None:
    bench = Bench()
    bench.api.fault = refusing(POD, ApiError(status, reason, "exceeded quota"))
    errors = await bench.do(CREATES[-1])
    assert [type(error) for error in errors] == [Refused]
    assert str(errors[0]).startswith("Pod job-1-2: exceeded quota")


@pytest.mark.parametrize(
    ("create", "status", "remedy"),
    [
        (CREATES[-1], 400, "; mend spec.template: delete the job and apply the mended file"),
        (CREATES[-1], 403, ""),
        (CREATES[0], 400, ""),
    ],
    ids=["a pod's form", "a pod's quota", "a Service's form"],
)
async def test_where_only_the_template_can_be_wrong_that_is_said(create: Create, status: int, remedy: str) -> None:
    bench = Bench()
    bench.api.fault = refuse(status, "BadRequest", 'unknown field "spec.x"')
    (error,) = await bench.do(create)
    assert str(error) == f'{create.kind.kind} {create.manifest["metadata"]["name"]}: unknown field "spec.x"{remedy}'


async def test_pods_that_a_namespace_does_not_allow_are_refused_with_what_to_set() -> None:
    bench = Bench()
    bench.api.fault = refuse(403, "Forbidden", 'violates PodSecurity "restricted:latest": runAsNonRoot != true')
    (error,) = await bench.do(CREATES[-1])
    assert isinstance(error, Refused)
    assert error.refusal.reason == "PodSecurityRefused"
    assert "securityContext: {runAsNonRoot: true, runAsUser: <a user of the image>}" in error.refusal.message


@pytest.mark.parametrize("status", [401, 409, 429, 500, 503])
async def test_what_passes_by_itself_is_no_refusal(status: int) -> None:
    """409 without AlreadyExists: a quota that was counted for somebody else meanwhile, for example."""
    bench = Bench()
    bench.api.fault = refusing(POD, ApiError(status, "", "later", retry_after=7.0))
    (error,) = await bench.do(CREATES[-1])
    assert isinstance(error, ApiError)
    assert error.retry_after == 7.0


async def test_what_is_there_already_and_ours_is_what_we_want() -> None:
    bench = Bench()
    for create in CREATES:
        bench.api.put(create.kind, create.manifest)
    assert await bench.do(*CREATES) == []
    assert len(bench.seen) == 5


@pytest.mark.parametrize("create", [CREATES[0], CREATES[1], CREATES[-1]], ids=["Service", "ConfigMap", "Pod"])
async def test_what_is_there_and_somebody_else_s_is_never_taken(create: Create) -> None:
    bench = Bench()
    metadata = create.manifest["metadata"]
    owner = {**metadata["ownerReferences"][0], "name": "other", "uid": "another"}
    theirs = bench.api.put(create.kind, {**create.manifest, "metadata": {**metadata, "ownerReferences": [owner]}})
    (error,) = await bench.do(create)
    what = f"{create.kind.kind} {metadata['name']}"
    assert str(error) == f"{what} exists and belongs to somebody else; delete it or rename the job"
    assert bench.api.all(create.kind) == [theirs]
    assert bench.seen == []


@pytest.mark.parametrize("create", [CREATES[0], CREATES[1], CREATES[-1]], ids=["Service", "ConfigMap", "Pod"])
async def test_what_a_deleted_job_of_the_name_has_left_is_not_taken_but_named(create: Create) -> None:
    """Deleted with --cascade=orphan: its references are taken from what it owned."""
    bench = Bench()
    metadata = {name: value for name, value in create.manifest["metadata"].items() if name != "ownerReferences"}
    labels = {**metadata["labels"], LABEL_JOB_UID: "uid-before"}
    left = bench.api.put(create.kind, {**create.manifest, "metadata": {**metadata, "labels": labels}})
    (error,) = await bench.do(create)
    assert isinstance(error, Refused)
    assert error.refusal.reason == f"{create.kind.kind}NameTaken"
    assert f"{create.kind.kind} {metadata['name']} was left by a deleted job of this name" in str(error)
    assert str(error).endswith("kubectl delete pods,services,configmaps -l pet.dev/job-uid=uid-before")
    assert bench.api.all(create.kind) == [left]


async def test_what_is_still_the_predecessor_s_is_waited_for() -> None:
    bench = Bench()
    metadata = CREATES[-1].manifest["metadata"]
    owners = [{**metadata["ownerReferences"][0], "uid": "uid-before"}]
    bench.api.put(POD, {**CREATES[-1].manifest, "metadata": {**metadata, "ownerReferences": owners}})
    (error,) = await bench.do(CREATES[-1])
    assert isinstance(error, Refused)
    assert error.refusal.reason == "WaitingForPredecessor"
    assert str(error) == "the Pod job-1-2 of the deleted job of this name is not gone yet"


async def test_what_has_expired_is_an_error_like_others() -> None:
    bench = Bench()
    bench.api.fault = refusing(POD, Gone("410 of a proxy"))
    (error,) = await bench.do(CREATES[-1])
    assert isinstance(error, ApiError)


@pytest.mark.parametrize(
    ("labels", "ours"),
    [
        ({"pet.dev/job": "job", "app.kubernetes.io/managed-by": "pet-operator"}, True),
        ({"pet.dev/job": "other", "app.kubernetes.io/managed-by": "pet-operator"}, False),
        ({"pet.dev/job": "job", "app.kubernetes.io/managed-by": "Helm"}, False),
        (None, False),
    ],
)
async def test_a_claim_that_an_earlier_job_of_the_name_left_is_used_as_it_is(labels: Any, ours: bool) -> None:
    bench = Bench()
    bench.api.put(CLAIM, {"metadata": {"name": "job-checkpoints", "labels": labels}})
    (create,) = (create for create in CREATES if create.kind is CLAIM)
    assert (await bench.do(create) == []) is ours


async def test_no_pods_are_made_while_what_was_there_is_gone_by_the_time_we_look() -> None:
    """A ConfigMap of somebody else's that was deleted just then: nobody watches those, so nobody would miss it."""
    bench = Bench()
    bench.api.fault = refusing(CONFIG_MAP, ApiError(409, "AlreadyExists", "it exists"))
    (error,) = await bench.do(*CREATES)
    assert isinstance(error, ApiError)
    assert not bench.api.all(POD)

    bench.api.fault = Bench().api.fault
    assert await bench.do(*CREATES) == []
    assert len(bench.api.all(CONFIG_MAP)) == 1
    assert len(bench.api.all(POD)) == 3


async def test_no_pods_are_made_while_the_config_map_goes() -> None:
    """Somebody has deleted it, and a finalizer holds it for a while: the pods would not find it any more."""
    bench = Bench()
    (create,) = (create for create in CREATES if create.kind is CONFIG_MAP)
    metadata = {**create.manifest["metadata"], "deletionTimestamp": "2026-01-31T12:00:00Z", "finalizers": ["a/b"]}
    bench.api.put(CONFIG_MAP, {**create.manifest, "metadata": metadata})
    (error,) = await bench.do(*CREATES)
    assert isinstance(error, ApiError)
    assert not bench.api.all(POD)

    (owner,) = create.manifest["metadata"]["ownerReferences"]
    metadata["ownerReferences"] = [{**owner, "uid": "uid-before"}]
    bench.api.put(CONFIG_MAP, {**create.manifest, "metadata": metadata})
    (error,) = await bench.do(create)
    assert isinstance(error, Refused), "whose it is gets told all the same"
    assert error.refusal.reason == "WaitingForPredecessor"


async def test_a_pod_is_deleted_and_known_to_be_going() -> None:
    bench = Bench()
    made = bench.api.put(POD, {**CREATES[-1].manifest, "status": {"phase": "Running"}})
    assert await bench.do(Delete(POD, "job-1-2", made["metadata"]["uid"])) == []
    assert "deletionTimestamp" in bench.api.all(POD)[0]["metadata"]
    assert bench.seen == [("pods", "job-1-2")]


async def test_a_pod_that_nobody_answers_for_is_gone_at_once() -> None:
    bench = Bench()
    made = bench.api.put(POD, {**CREATES[-1].manifest, "status": {"phase": "Running"}})
    assert await bench.do(Delete(POD, "job-1-2", made["metadata"]["uid"], force=True)) == []
    assert bench.api.all(POD) == []


async def test_a_pod_that_is_gone_is_what_was_asked_for() -> None:
    assert await Bench().do(Delete(POD, "job-1-2", "uid")) == []


async def test_one_that_is_another_by_now_is_left_alone_and_looked_at_again() -> None:
    bench = Bench()
    there = bench.api.put(POD, CREATES[-1].manifest)
    (error,) = await bench.do(Delete(POD, "job-1-2", "of its predecessor"))
    assert isinstance(error, ApiError)
    assert bench.api.all(POD) == [there]


async def test_a_deletion_that_is_not_allowed_is_a_refusal_in_the_api_server_s_words() -> None:
    bench = Bench()
    bench.api.fault = refuse(403, "Forbidden")
    (error,) = await bench.do(Delete(POD, "job-1-2", "uid"))
    assert isinstance(error, Refused)
    assert (error.refusal.reason, str(error)) == ("DeleteRefused", "Pod job-1-2 cannot be deleted: no")


async def test_all_errors_are_told_together() -> None:
    bench = Bench()
    bench.api.fault = refusing(POD, ApiError(500, "", "no"))
    with pytest.raises(ExceptionGroup, match="3 of 6 requests for default/job failed"):
        await Executor(bench.api, lambda *_: None).execute(CREATES, OWNER, UID)


async def test_nothing_to_do_is_nothing_done() -> None:
    bench = Bench()
    assert await bench.do() == []
    assert bench.api.writes == []


def test_the_service_goes_first_so_that_names_resolve_when_pods_start() -> None:
    assert CREATES[0].kind is SERVICE


@pytest.mark.parametrize("whose", ["ours", "somebody else's", "nobody's"])
async def test_what_nobody_watches_is_deleted_if_it_is_the_job_s(whose: str) -> None:
    bench = Bench()
    (config,) = (create.manifest for create in CREATES if create.kind is CONFIG_MAP)
    if whose != "nobody's":
        owners = config["metadata"]["ownerReferences"] if whose == "ours" else []
        bench.api.put(CONFIG_MAP, {**config, "metadata": {**config["metadata"], "ownerReferences": owners}})
    name = config["metadata"]["name"]
    assert await bench.do(Delete(CONFIG_MAP, name, "")) == []
    assert bench.written() == ([f"delete {name}"] if whose == "ours" else [])
    assert len(bench.api.all(CONFIG_MAP)) == (whose == "somebody else's")
