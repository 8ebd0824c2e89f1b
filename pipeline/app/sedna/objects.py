"""Sedna's objects as people write them (``sedna.io/v1alpha1``), typed. What is not ours to know is kept as it is.

A pod template is a plain map: Kubernetes checks it, and fields that this version does not know must not be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

API_VERSION: Final = "sedna.io/v1alpha1"


class Part(BaseModel):
    """A part of an object whose fields are all known; another one is a typo."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class Metadata(BaseModel):
    """What Kubernetes knows an object by; it has more fields than are read here."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    annotations: Mapping[str, str] = {}


class ModelSpec(BaseModel):
    """Where a model is. Sedna's other features put more into it, which is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    url: str = Field(min_length=1)
    format: str = ""


class Object(BaseModel):
    """What every object has."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    KIND: ClassVar[str] = ""

    api_version: str = Field(API_VERSION, alias="apiVersion")
    kind: str = ""
    metadata: Metadata
    status: Mapping[str, Any] | None = None


class Model(Object):
    """A model that services name."""

    KIND: ClassVar[str] = "Model"

    spec: ModelSpec


class ModelName(Part):
    """Which model a worker uses."""

    name: str = Field(min_length=1)


class Parameter(Part):
    """A miner's parameter. Sedna's values are strings; a number that somebody did not quote is taken as well."""

    key: str
    value: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]


class HardExampleMining(Part):
    """The miner, by the name that Sedna gave it."""

    name: str = "IBT"
    parameters: tuple[Parameter, ...] | None = Field(None, strict=False)


class Scaling(Part):
    """The user's part of a HorizontalPodAutoscaler (autoscaling/v2)."""

    min_replicas: int | None = Field(None, alias="minReplicas", ge=0)
    max_replicas: int = Field(alias="maxReplicas", ge=1)
    metrics: list[dict[str, Any]] | None = None
    behavior: dict[str, Any] | None = None


class Worker(Part):
    """One side of a service."""

    model: ModelName
    template: dict[str, Any]
    hpa: Scaling | None = None


class EdgeWorker(Worker):
    """The side with the cameras, the little model and the miner."""

    mining: HardExampleMining = Field(HardExampleMining(), alias="hardExampleMining")


class ServiceSpec(Part):
    """Both sides."""

    edge: EdgeWorker = Field(alias="edgeWorker")
    cloud: Worker = Field(alias="cloudWorker")


class JointInferenceService(Object):
    """A little model at the edge and a big one in the cloud."""

    KIND: ClassVar[str] = "JointInferenceService"

    spec: ServiceSpec
