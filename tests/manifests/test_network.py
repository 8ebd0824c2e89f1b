"""Who may speak to whom, by the overlays' NetworkPolicies and configs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import (
    OVERLAYS,
    Object,
    config_files,
    environment,
    filled_in,
    labels,
    main,
    of_kind,
    stages,
    workloads,
)

overlays = pytest.mark.parametrize("overlay", OVERLAYS)
DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]


def _selects(selector: Object, pod: Mapping[str, str]) -> bool:
    """Whether a label selector takes a pod; of expressions, ``In`` alone is known."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= pod.items() and all(
        pod.get(expression["key"]) in expression["values"] for expression in expressions
    )


def _ports(overlay: str, workload: Object, direction: str, peer: Mapping[str, str]) -> set[int]:
    """The ports that the policies of a workload's pods leave open towards pods of this namespace."""
    specs = [policy["spec"] for policy in of_kind(overlay, "NetworkPolicy").values()]
    (spec,) = [spec for spec in specs if _selects(spec["podSelector"], labels(workload))]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    rules = [(rule, rule["from" if direction == "ingress" else "to"]) for rule in spec.get(direction, ())]
    return {
        port["port"]
        for rule, peers in rules
        for port in rule["ports"]
        if any("podSelector" in one and _selects(one["podSelector"], peer) for one in peers)
    }


def _brokers(overlay: str, folder: Path) -> Iterator[tuple[str, str, int]]:
    """Each workload, the Service it connects to by its config, and the port."""
    for name, item in stages(overlay).items():
        config_files(overlay, item, "/etc/tandem", folder)
        url = yaml.safe_load((folder / "tandem.yaml").read_text())["broker"]["url"]
        url = environment(overlay, main(item)).get("TANDEM_BROKER__URL", url)
        host, port = re.fullmatch(r"mqtts?://(.+):(\d+)", url).groups()  # type: ignore[union-attr]
        yield name, host, int(port)
    for name in of_kind(overlay, "DaemonSet"):
        filled_in(folder, overlay, name)
        (address,) = re.findall(r"^address (\S+):(\d+)$", (folder / f"{name}.conf").read_text(), re.MULTILINE)
        yield name, address[0], int(address[1])


@overlays
def test_clients_reach_their_broker_and_nobody_else_reaches_anybody(overlay: str, tmp_path: Path) -> None:
    wanted = {}
    for name, host, port in _brokers(overlay, tmp_path):
        service = of_kind(overlay, "Service")[host]["spec"]
        (target,) = [entry["targetPort"] for entry in service["ports"] if entry["port"] == port]
        (broker,) = [
            one for one, item in workloads(overlay).items() if service["selector"].items() <= labels(item).items()
        ]
        numbers = {entry["name"]: entry["containerPort"] for entry in main(workloads(overlay)[broker])["ports"]}
        wanted[name, broker] = {numbers[target]}
    for (one, source), (other, target) in itertools.product(workloads(overlay).items(), repeat=2):
        leaves = _ports(overlay, source, "egress", labels(target))
        enters = _ports(overlay, target, "ingress", labels(source))
        assert leaves & enters == wanted.get((one, other), set()), (one, other)
        assert leaves == enters, (one, other)


@overlays
def test_beyond_the_namespace_they_reach_the_dns_alone(overlay: str) -> None:
    for policy in of_kind(overlay, "NetworkPolicy").values():
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            (peer,) = rule.get("from") or rule["to"]
            assert peer.keys() == {"podSelector"} or (
                peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
                and rule["ports"] == DNS
            )
