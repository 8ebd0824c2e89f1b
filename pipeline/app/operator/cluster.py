"""The API server of a cluster, over its REST API: the only importer of ``kubernetes``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from pipeline.app.operator.api import ApiRefused, ApiUnavailable, Kind, Object
from pipeline.errors import ConfigError

FIELD_MANAGER: Final = "tandem"

_TIMEOUT_S: Final = 15.0
_PATHS: Final = {
    Kind.SERVICE: ("apis/sedna.io/v1alpha1", "jointinferenceservices"),
    Kind.MODEL: ("apis/sedna.io/v1alpha1", "models"),
    Kind.DEPLOYMENT: ("apis/apps/v1", "deployments"),
    Kind.AUTOSCALER: ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    Kind.CONFIG: ("api/v1", "configmaps"),
    Kind.SECRET: ("api/v1", "secrets"),
    Kind.NETWORK: ("api/v1", "services"),
    Kind.POLICY: ("apis/networking.k8s.io/v1", "networkpolicies"),
    Kind.NODE: ("api/v1", "nodes"),
}
_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)
"""What a user has to hear where an object is applied: also of a quota, a webhook, a version that is not served."""


class Cluster:
    """An ``Api`` of a real server. Manifests travel as they are: the client's models drop fields that they miss."""

    def __init__(self, connection: client.ApiClient) -> None:
        """Talk over this connection."""
        self._connection = connection

    @classmethod
    def found(cls) -> Cluster:
        """The cluster that this process runs in, or else that of the current kubeconfig.

        Raises:
            ConfigError: there is neither.
        """
        settings = client.Configuration()
        try:
            try:
                config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
            except config.ConfigException:
                config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ConfigError("KUBECONFIG", f"no cluster is named here: {error}") from error
        return cls(client.ApiClient(settings))

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """As ``Api`` says."""
        return self._call("GET", _path(kind, namespace, name), missing_is_none=True)

    def list(self, kind: Kind, namespace: str) -> list[Object]:
        """As ``Api`` says."""
        found = self._call("GET", _path(kind, namespace)) or {}
        items: list[Object] = found.get("items") or []
        return items

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """As ``Api`` says."""
        metadata = manifest["metadata"]
        path = _path(Kind(manifest["kind"]), metadata["namespace"], metadata["name"])
        query = f"?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict{'&dryRun=All' if dry_run else ''}"
        content = "application/apply-patch+yaml"
        return self._call("PATCH", path + query, manifest, content, refusals=_REFUSALS) or {}

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """As ``Api`` says."""
        self._call("DELETE", _path(kind, namespace, name), missing_is_none=True)

    def patch_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """As ``Api`` says."""
        path = f"{_path(Kind.SERVICE, namespace, name)}/status?fieldManager={FIELD_MANAGER}"
        self._call("PATCH", path, {"status": status}, "application/merge-patch+json", missing_is_none=True)

    def create_event(self, event: Mapping[str, Any]) -> None:
        """As ``Api`` says."""
        path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        self._call("POST", path, event, there_is_fine=True)

    def create_peering(self, name: str) -> None:
        """Create the object by which replicas agree who of them is at work, if it is not there."""
        peering = {"apiVersion": "kopf.dev/v1", "kind": "ClusterKopfPeering", "metadata": {"name": name}}
        self._call("POST", "/apis/kopf.dev/v1/clusterkopfpeerings", peering, there_is_fine=True)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        *,
        missing_is_none: bool = False,
        there_is_fine: bool = False,
        refusals: frozenset[HTTPStatus] = frozenset(),
    ) -> Object | None:
        headers: dict[str, str] = {"Accept": "application/json", "Content-Type": content}
        self._connection.update_params_for_auth(headers, None, ["BearerToken"], path, method, None)
        url = f"{self._connection.configuration.host}{path}"
        try:
            answer = self._connection.call_api(method, url, headers, body, _request_timeout=_TIMEOUT_S)
            data = answer.read()  # type: ignore[no-untyped-call]
        except (client.ApiException, HTTPError, OSError) as error:
            raise ApiUnavailable(f"the API server: {error}") from error
        if answer.status == HTTPStatus.NOT_FOUND and missing_is_none:
            return None
        if answer.status == HTTPStatus.CONFLICT and there_is_fine:
            return None
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            reason = _message(data)
            if answer.status in refusals:
                raise ApiRefused(f"{method} {path.partition('?')[0]}", reason)
            raise ApiUnavailable(f"{method} {path.partition('?')[0]}: {answer.status}: {reason}")
        found: Object = json.loads(data)
        return found


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    group, plural = _PATHS[kind]
    space = f"namespaces/{namespace}/" if namespace else ""
    return f"/{group}/{space}{plural}{f'/{name}' if name else ''}"


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
