"""The operator against an API server in memory: the guide's YAML as it stands, and all that happens to it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from kubernetes import client

from broker.address import BrokerAddress
from pipeline.app.operator.api import ApiUnavailable
from pipeline.app.operator.cluster import Cluster
from pipeline.app.operator.counts import Counts, Reading, ServiceKey
from pipeline.app.operator.operator import Operator
from pipeline.app.operator.reconcile import Means
from pipeline.app.operator.serve import looking
from pipeline.app.sedna.names import Image
from tests.kubernetes_api import ApiServer, Object, served
from tests.sedna_guide import GUIDE

NAME = "helmet-detection-inference-example"
EDGE, CLOUD, BROKER = f"{NAME}-deployment-edge", f"{NAME}-deployment-cloud", f"{NAME}-broker"
LITTLE = "helmet-detection-inference-little-model"


class Told:
    """Who follows the streams: what it is asked for, and what it is told to say."""

    def __init__(self) -> None:
        self.addresses: dict[ServiceKey, BrokerAddress] = {}
        self.reading: Reading | None = Reading(None, connected=True)

    def follow(self, key: ServiceKey, address: BrokerAddress) -> None:
        self.addresses[key] = address

    def forget(self, key: ServiceKey) -> None:
        self.addresses.pop(key, None)

    def read(self, key: ServiceKey) -> Reading | None:
        return self.reading if key in self.addresses else None


class Rig:
    """An API server with the guide's objects, and an operator."""

    def __init__(self, api: ApiServer, url: str) -> None:
        self.api = api
        self.told = Told()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._url = url
        self._passwords = iter(f"password-{number}" for number in range(9))
        self.operator = self.restarted()
        for node in ("$EDGE_NODE", "$CLOUD_NODE"):
            api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        for item in yaml.safe_load_all(GUIDE):
            item["metadata"] |= {"uid": f"uid-of-{item['metadata']['name']}", "generation": 1}
            api.put(item)

    def restarted(self) -> Operator:
        connection = client.ApiClient(client.Configuration(host=self._url))
        means = Means(
            Cluster(connection), Image("registry.example/tandem:1"), self.told,
            lambda: next(self._passwords), lambda user, password: f"{user}:hash-of-{password}", lambda: self.now,
        )  # fmt: skip
        return Operator(means)

    def reconcile(self) -> Object:
        self.operator.reconcile("default", NAME)
        return self.service["status"]  # type: ignore[no-any-return]

    @property
    def service(self) -> Object:
        found = self.api.found("JointInferenceService", "default", NAME)
        assert found is not None
        return found

    def change(self, change: Callable[[Any], object], kind: str = "JointInferenceService", name: str = NAME) -> None:
        item = self.api.found(kind, "default", name)
        assert item is not None
        change(item)
        item["metadata"]["generation"] = item["metadata"].get("generation", 0) + 1
        self.api.put(item)

    def ready(self) -> None:
        """As a cluster's own controllers say it."""
        for item in self.api.named("Deployment").values():
            status = {"availableReplicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
            self.api.put(item | {"status": {**status, "observedGeneration": item["metadata"]["generation"]}})

    def events(self) -> dict[str, str]:
        return {event["reason"]: event["message"] for event in self.api.named("Event").values()}


@pytest.fixture
def rig() -> Iterator[Rig]:
    with served() as (api, url):
        yield Rig(api, url)


def condition(status: Object, name: str) -> tuple[str, str]:
    (found,) = [one for one in status["conditions"] if one["type"] == name]
    return found["status"], found["message"]


def container(deployment: Object) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"][0]


def test_the_guides_service_gets_workers_and_a_broker(rig: Rig) -> None:
    status = rig.reconcile()
    assert rig.api.named("Deployment").keys() == {EDGE, CLOUD, BROKER}
    for kind in ("ConfigMap", "Secret", "Service", "NetworkPolicy"):
        assert rig.api.named(kind).keys() == {BROKER}
    owned = [item for kind in ("Deployment", "Secret", "Service") for item in rig.api.named(kind).values()]
    assert {item["metadata"]["ownerReferences"][0]["uid"] for item in owned} == {f"uid-of-{NAME}"}
    assert (status["phase"], status["active"], status["failed"]) == ("Pending", 0, 0)
    assert status["startTime"] == "2026-01-01T00:00:00Z"
    assert condition(status, "Ready") == ("False", "waits for edge, cloud, broker")
    assert "metrics" not in status
    rig.ready()
    status = rig.reconcile()
    assert (status["phase"], status["active"]) == ("Running", 2)
    assert condition(status, "Ready")[0] == "True"


def test_brokers_selectors_match_its_pods_and_let_workers_in(rig: Rig) -> None:
    rig.reconcile()
    deployments = rig.api.named("Deployment")
    pods = {name: item["spec"]["template"]["metadata"]["labels"] for name, item in deployments.items()}
    assert rig.api.named("Service")[BROKER]["spec"]["selector"].items() <= pods[BROKER].items()
    policy = rig.api.named("NetworkPolicy")[BROKER]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pods[BROKER].items()
    workers, operator = policy["ingress"][0]["from"]
    assert all(workers["podSelector"]["matchLabels"].items() <= labels.items() for labels in pods.values())
    assert operator["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "tandem-operator"}
    spec = deployments[BROKER]["spec"]["template"]["spec"]
    assert (spec["nodeName"], spec["securityContext"]["runAsNonRoot"]) == ("$CLOUD_NODE", True)


def test_workers_and_operator_have_the_brokers_password(rig: Rig) -> None:
    rig.reconcile()
    data = rig.api.named("Secret")[BROKER]["data"]
    held = {key: base64.b64decode(value).decode() for key, value in data.items()}
    assert held == {"username": "tandem", "password": "password-0", "passwords": "tandem:hash-of-password-0\n"}
    address = rig.told.addresses["default", NAME]
    assert (address.host, address.username, address.password) == (f"{BROKER}.default", "tandem", "password-0")
    variables = {one["name"]: one for one in container(rig.api.named("Deployment")[EDGE])["env"]}
    assert variables["TANDEM_BROKER__URL"]["value"] == f"mqtt://{BROKER}.default:1883"
    assert variables["TANDEM_BROKER__USERNAME"]["valueFrom"]["secretKeyRef"] == {"name": BROKER, "key": "username"}


def test_a_second_look_changes_nothing(rig: Rig) -> None:
    rig.reconcile()
    before = {kind: rig.api.named(kind) for kind in ("Deployment", "Secret", "JointInferenceService", "Event")}
    rig.now += timedelta(hours=1)
    rig.operator = rig.restarted()
    rig.api.writes.clear()
    rig.reconcile()
    assert {kind: rig.api.named(kind) for kind in before} == before
    assert not any("/status" in write for write in rig.api.writes)


def test_a_changed_spec_rolls_out(rig: Rig) -> None:
    rig.reconcile()
    rig.change(lambda item: item["spec"]["edgeWorker"]["hardExampleMining"].update(name="CloudOnly", parameters=[]))
    rig.reconcile()
    variables = {one["name"]: one.get("value") for one in container(rig.api.named("Deployment")[EDGE])["env"]}
    assert (variables["HEM_NAME"], variables["HEM_PARAMETERS"]) == ("CloudOnly", "[]")
    assert rig.api.named("Deployment")[EDGE]["metadata"]["generation"] == 2
    assert rig.api.named("Deployment")[CLOUD]["metadata"]["generation"] == 1


def test_a_changed_model_rolls_out_to_those_who_use_it(rig: Rig) -> None:
    rig.reconcile()
    rig.change(lambda item: item["spec"].update(url="/data/new/better.onnx"), "Model", LITTLE)
    rig.operator.model_changed("default", LITTLE)
    pod = rig.api.named("Deployment")[EDGE]["spec"]["template"]["spec"]
    assert {"path": "/data/new", "type": "Directory"} in [volume.get("hostPath") for volume in pod["volumes"]]
    rig.api.writes.clear()
    rig.operator.model_changed("default", "another")
    assert rig.api.writes == []


def test_drift_heals_and_what_others_set_stays(rig: Rig) -> None:
    rig.reconcile()

    def drift(item: Any) -> None:
        container(item)["image"] = "evil:1"
        item["spec"]["replicas"] = 5
        item["metadata"]["annotations"] = {"theirs": "kept"}

    rig.change(drift, "Deployment", EDGE)
    rig.operator.touched("default", NAME)
    healed = rig.api.named("Deployment")[EDGE]
    assert (container(healed)["image"], healed["spec"]["replicas"]) == ("registry.example/tandem:1", 1)
    assert healed["metadata"]["annotations"] == {"theirs": "kept"}
    rig.api.objects["apps/v1/deployments", "default", CLOUD].delete()
    rig.operator.resync()
    assert rig.api.named("Deployment").keys() == {EDGE, CLOUD, BROKER}


def test_a_secret_that_is_deleted_comes_back_and_all_start_with_its_new_password(rig: Rig) -> None:
    rig.reconcile()
    before = rig.api.named("Deployment")
    rig.api.objects["v1/secrets", "default", BROKER].delete()
    rig.operator.resync()
    data = rig.api.named("Secret")[BROKER]["data"]
    assert base64.b64decode(data["password"]) == b"password-1"
    after = rig.api.named("Deployment")
    assert all(after[name]["spec"]["template"] != before[name]["spec"]["template"] for name in (EDGE, CLOUD, BROKER))


def test_an_autoscaler_comes_and_goes_as_asked(rig: Rig) -> None:
    rig.change(lambda item: item["spec"]["cloudWorker"].update(hpa={"maxReplicas": 3}))
    rig.reconcile()
    assert rig.api.named("HorizontalPodAutoscaler").keys() == {f"hpa-{CLOUD}"}
    rig.change(lambda item: item["spec"]["cloudWorker"].pop("hpa"))
    rig.reconcile()
    assert rig.api.named("HorizontalPodAutoscaler") == {}


def test_an_autoscaler_of_somebody_else_stays(rig: Rig) -> None:
    theirs = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
              "metadata": {"name": f"hpa-{CLOUD}", "namespace": "default"}}  # fmt: skip
    rig.api.put(theirs)
    rig.reconcile()
    assert rig.api.named("HorizontalPodAutoscaler") == {f"hpa-{CLOUD}": theirs}


def test_an_edge_that_may_grow_stays_at_one_and_is_told(rig: Rig) -> None:
    rig.change(lambda item: item["spec"]["edgeWorker"].update(hpa={"maxReplicas": 2}))
    holds, message = condition(rig.reconcile(), "AsAsked")
    assert holds == "False"
    assert "two replicas would read one camera twice" in message
    assert "EdgeStaysAtOne" in rig.events()
    assert rig.api.named("HorizontalPodAutoscaler") == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec["edgeWorker"]["hardExampleMining"].update(name="IBTT"), "did you mean 'IBT'?"),
        (lambda spec: spec["edgeWorker"]["hardExampleMining"]["parameters"][0].update(value="x"), "is not a number"),
        (lambda spec: spec["cloudWorker"]["model"].update(name="none"), "there is no Model 'none'"),
        (lambda spec: spec["cloudWorker"].update(modle={}), "there is no such field; did you mean 'model'?"),
        (lambda spec: spec["edgeWorker"]["template"]["spec"].update(contaners=[]), "contaners"),
    ],
)
def test_bad_input_is_told_in_plain_words_and_leaves_what_runs(
    rig: Rig, change: Callable[[Any], object], words: str
) -> None:
    rig.reconcile()
    before = rig.api.named("Deployment")
    rig.change(lambda item: change(item["spec"]))
    status = rig.reconcile()
    assert status["phase"] == "Failed"
    holds, message = condition(status, "Valid")
    assert (holds, words in message, message.endswith("; what ran before goes on unchanged")) == ("False", True, True)
    assert words in rig.events()["Refused"]
    assert rig.api.named("Deployment") == before


def test_what_is_refused_of_one_worker_leaves_the_other_as_well(rig: Rig) -> None:
    rig.reconcile()
    before = rig.api.named("Deployment")

    def change(item: Any) -> None:
        item["spec"]["edgeWorker"]["hardExampleMining"].update(name="CloudOnly", parameters=[])
        item["spec"]["cloudWorker"]["template"]["spec"].update(contaners=[])

    rig.change(change)
    assert "contaners" in condition(rig.reconcile(), "Valid")[1]
    assert rig.api.named("Deployment") == before


def test_what_a_cluster_forbids_is_told_in_its_words_until_it_lets_it(rig: Rig) -> None:
    rig.api.forbidden = 'deployments.apps "x" is forbidden: exceeded quota: site, requested: count/deployments=1'
    status = rig.reconcile()
    assert status["phase"] == "Failed"
    assert "exceeded quota: site" in condition(status, "Valid")[1]
    assert "exceeded quota: site" in rig.events()["Refused"]
    rig.api.forbidden = ""
    rig.operator.resync()
    assert condition(rig.service["status"], "Valid")[0] == "True"


def test_all_mistakes_are_events_of_their_own(rig: Rig) -> None:
    rig.change(lambda item: item["spec"]["edgeWorker"]["hardExampleMining"].update(name="IBTT"))
    rig.change(lambda item: item["spec"].update(url="/data/little/a.pb"), "Model", LITTLE)
    rig.reconcile()
    told = [event["message"] for event in rig.api.named("Event").values()]
    assert len(told) == 2
    assert any("scripts/convert_model.py" in message and "--models shipped" in message for message in told)
    assert rig.api.named("Deployment") == {}


def test_a_corrected_mistake_is_carried_out(rig: Rig) -> None:
    rig.change(lambda item: item["spec"]["edgeWorker"]["hardExampleMining"].update(name="IBTT"))
    rig.reconcile()
    rig.change(lambda item: item["spec"]["edgeWorker"]["hardExampleMining"].update(name="IBT"))
    rig.now += timedelta(minutes=1)
    status = rig.reconcile()
    assert condition(status, "Valid")[0] == "True"
    (valid,) = [one for one in status["conditions"] if one["type"] == "Valid"]
    assert (valid["lastTransitionTime"], status["startTime"]) == ("2026-01-01T00:01:00Z", "2026-01-01T00:00:00Z")
    rig.change(lambda item: item["spec"]["edgeWorker"]["hardExampleMining"].update(name="IBTT"))
    rig.reconcile()
    told = [event for event in rig.api.named("Event").values() if event["reason"] == "Refused"]
    assert len(told) == 2  # the mistake came back, and is told again


def test_a_wrong_model_of_nobody_harms_nobody(rig: Rig) -> None:
    rig.api.put({"apiVersion": "sedna.io/v1alpha1", "kind": "Model", "spec": {},
                 "metadata": {"name": "other", "namespace": "default"}})  # fmt: skip
    assert condition(rig.reconcile(), "Valid")[0] == "True"


def test_a_node_that_does_not_exist_is_told(rig: Rig) -> None:
    del rig.api.objects["v1/nodes", None, "$EDGE_NODE"]
    status = rig.reconcile()
    assert condition(status, "NodesExist")[0] == "False"
    assert "spec.edgeWorker.template.spec.nodeName: there is no node '$EDGE_NODE'" in rig.events()["NoSuchNode"]
    assert rig.api.named("Deployment").keys() == {EDGE, CLOUD, BROKER}


def test_root_and_a_replaced_image_are_told_once(rig: Rig) -> None:
    def own_image(item: Any) -> None:
        item["spec"]["cloudWorker"]["template"]["spec"]["containers"][0]["image"] = "mine:1"

    rig.change(own_image)
    rig.reconcile()
    rig.reconcile()
    assert sorted(rig.events()) == ["CloudImageReplaced", "CloudRunsAsRoot", "EdgeRunsAsRoot"]
    assert len(rig.api.named("Event")) == 3
    assert 'tandem/keep-image: "true"' in rig.events()["CloudImageReplaced"]
    assert "hostPath" in rig.events()["EdgeRunsAsRoot"]


def test_a_named_broker_is_used_and_none_is_made(rig: Rig) -> None:
    rig.reconcile()
    data = {key: base64.b64encode(key[:1].encode()).decode() for key in ("username", "password")}
    rig.api.put({"kind": "Secret", "metadata": {"name": "mine", "namespace": "default"}, "data": data})
    noted = {"tandem/broker": "mqtt://mine:1884", "tandem/broker-secret": "mine"}
    rig.change(lambda item: item["metadata"].update(annotations=noted))
    status = rig.reconcile()
    assert rig.api.named("Deployment").keys() == {EDGE, CLOUD}
    assert rig.api.named("Secret").keys() == {"mine"}
    address = rig.told.addresses["default", NAME]
    assert (address.host, address.port, address.username, address.password) == ("mine", 1884, "u", "p")
    assert {one["type"] for one in status["conditions"]}.isdisjoint({"BrokerReady"})
    rig.change(lambda item: item["metadata"].update(annotations={"tandem/broker": "http://mine"}))
    assert "metadata.annotations.tandem/broker" in condition(rig.reconcile(), "Valid")[1]


def test_what_is_somebody_elses_is_not_taken_over(rig: Rig) -> None:
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": EDGE, "namespace": "default"}}
    rig.api.put(theirs)
    assert "is not this service's: rename one of the two" in condition(rig.reconcile(), "Valid")[1]
    assert rig.api.named("Deployment") == {EDGE: theirs}


def test_a_service_that_follows_one_of_its_name_waits_until_that_is_cleaned_up(rig: Rig) -> None:
    rig.reconcile()
    rig.change(lambda item: item["metadata"].update(uid="another"))
    with pytest.raises(ApiUnavailable, match="is of an earlier service of this name"):
        rig.operator.reconcile("default", NAME)
    for kind in ("apps/v1/deployments", "v1/secrets", "v1/services", "v1/configmaps"):
        for name in (EDGE, CLOUD, BROKER):
            if (kind, "default", name) in rig.api.objects or kind == "apps/v1/deployments":
                rig.api.objects[kind, "default", name].delete()
    for kind in ("v1/secrets", "v1/services", "v1/configmaps", "networking.k8s.io/v1/networkpolicies"):
        rig.api.objects[kind, "default", BROKER].delete()
    assert condition(rig.reconcile(), "Valid")[0] == "True"


def test_a_deleted_service_is_followed_no_more(rig: Rig) -> None:
    rig.reconcile()
    assert rig.told.addresses
    rig.api.objects["sedna.io/v1alpha1/jointinferenceservices", "default", NAME].delete()
    rig.api.writes.clear()
    rig.operator.touched("default", NAME)  # its Deployments go, and kopf tells that
    rig.operator.resync()
    assert rig.told.addresses == {}
    assert rig.api.writes == []


def test_a_service_that_waits_for_its_deletion_is_made_no_more(rig: Rig) -> None:
    rig.change(lambda item: item["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    rig.operator.reconcile("default", NAME)
    assert rig.api.writes == []


def test_counts_are_written_to_the_frame_and_outlive_a_restart(rig: Rig) -> None:
    rig.reconcile()
    rig.told.reading = Reading(Counts(14, 3), connected=True)
    rig.operator.look()
    metrics = {"inferenceNumber": "14", "hardExampleNumber": "3", "uploadCloudRatio": "0.2143"}
    assert {one["key"]: one["value"] for one in rig.service["status"]["metrics"]} == metrics
    rig.api.writes.clear()
    rig.operator.look()
    assert rig.api.writes == []
    rig.operator = rig.restarted()
    rig.reconcile()
    rig.api.writes.clear()
    rig.operator.look()
    assert rig.api.writes == []  # the status says it already
    rig.operator, rig.told.reading = rig.restarted(), Reading(None, connected=False, reason="refuses connections")
    status = rig.reconcile()
    assert {one["key"]: one["value"] for one in status["metrics"]} == metrics
    assert condition(status, "Counted") == ("Unknown", "refuses connections")


def test_what_an_absent_api_server_missed_is_done_at_the_next_look(rig: Rig) -> None:
    rig.reconcile()
    rig.api.objects["apps/v1/deployments", "default", EDGE].delete()
    rig.api.away = True
    rig.operator.touched("default", NAME)
    rig.operator.look()
    rig.api.away = False
    rig.operator.look()
    assert EDGE in rig.api.named("Deployment")


def test_a_status_that_is_not_taken_is_tried_again_and_ends_nothing(rig: Rig) -> None:
    rig.reconcile()
    rig.ready()
    rig.api.unkept = "status.phase: Unsupported value"
    rig.operator.resync()
    rig.api.unkept = ""
    rig.operator.look()
    assert rig.service["status"]["phase"] == "Running"


def test_a_name_that_no_label_can_hold_is_refused(rig: Rig) -> None:
    item = rig.service
    item["metadata"]["name"] = "x" * 54
    rig.api.put(item)
    rig.operator.reconcile("default", "x" * 54)
    found = rig.api.found("JointInferenceService", "default", "x" * 54)
    assert found is not None
    assert "53 is the most" in condition(found["status"], "Valid")[1]


def test_a_bug_in_what_looks_by_the_clock_ends_the_operator(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stop: threading.Event) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(rig.operator, "follow", broken)
    ended = threading.Event()
    with looking(rig.operator, ended.set) as failures:
        assert ended.wait(60)
    assert [str(failure) for failure in failures] == ["a bug"]
