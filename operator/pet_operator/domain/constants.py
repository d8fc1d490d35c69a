"""The words of the cluster that the operator reads and writes, in one place."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "pet.dev"
MANAGED_BY = "pet-operator"
CONTAINER = "trainer"

LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_NODE_INDEX = f"{GROUP}/node-index"
LABEL_TYPE = f"{GROUP}/type"
RESTART_REQUESTED = f"{GROUP}/restart-requested"  # an annotation: when
TAKE_OVER = f"{GROUP}/take-over"  # an annotation: the uid of the job whose folder this is
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API server keeps it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True


JOB = Kind(f"{GROUP}/v1", "PetTrainingJob", "pettrainingjobs")
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
EVENT = Kind("events.k8s.io/v1", "Event", "events")
