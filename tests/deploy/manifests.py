"""Checks the manifests of Kubernetes and the compose file.

    tests/deploy/manifests.py BINARY RENDERED COMPOSE

RENDERED is what kustomize renders, COMPOSE is the compose file as JSON. Each resource is validated against the schemas of
Kubernetes, which the package kubernetes-validate has. What schemas cannot say is checked here: that names which must be the
same are the same, that nothing runs with more rights than it needs, and that the server accepts its arguments.
"""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# The oldest version with `preStop.sleep` on by default, and the newest that the package knows.
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())
# Resources of the Prometheus operator, whose schemas no package has: their form alone is checked, by kustomize.
WITHOUT_SCHEMA = {"ServiceMonitor"}
# No folder can be made here, so a server that has accepted its settings ends.
NOWHERE = "/dev/null/data"


def main() -> None:
    binary, rendered, compose = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    resources = [resource for resource in yaml.safe_load_all(rendered.read_text()) if resource]
    for resource in resources:
        if resource["kind"] not in WITHOUT_SCHEMA:
            for version in VERSIONS:
                kubernetes_validate.validate(resource, version, strict=True)
    print(f"manifests: {len(resources)} resources are valid in Kubernetes {' and '.join(VERSIONS)}")

    by_kind = {kind: [one for one in resources if one["kind"] == kind] for kind in {one["kind"] for one in resources}}
    [stateful_set] = by_kind["StatefulSet"]
    pod = stateful_set["spec"]["template"]["spec"]
    [container] = pod["containers"]
    names_are_the_same(by_kind, stateful_set, pod, container)
    few_rights(by_kind, pod, container)
    one_at_a_time(by_kind, stateful_set, container)
    reaches_little(by_kind)
    has_an_anchor(by_kind, stateful_set, container)
    accepts(binary, container["args"], "of the StatefulSet")
    print(
        "manifests: the names fit, the pods have few rights and reach little, one replica leaves at a time, and the server "
        "accepts its arguments"
    )

    services = json.loads(compose.read_text())["services"]
    replicas = [service for name, service in services.items() if name.startswith("strongroom-")]
    check(len(replicas) == 3, "the compose file has three replicas")
    for service in replicas:
        check(service["read_only"] and service["cap_drop"] == ["ALL"], "replicas of the compose file have few rights")
        check(all(port["host_ip"] == "127.0.0.1" for port in service["ports"]), "plaintext is for this machine alone")
        [data_dir, anchor] = [
            next(one.partition("=")[2] for one in service["command"] if one.startswith(f"--{name}="))
            for name in ("data-dir", "anchor-file")
        ]
        check({volume["target"] for volume in service["volumes"]} == {data_dir}, "each replica keeps its data folder")
        check(anchor.startswith(f"{data_dir}/"), "each replica keeps its anchor")
        accepts(binary, service["command"], "of the compose file")
    print("manifests: the compose file is valid, and the server accepts the arguments of its replicas")


def names_are_the_same(by_kind: dict, stateful_set: dict, pod: dict, container: dict) -> None:
    labels = stateful_set["spec"]["template"]["metadata"]["labels"].items()
    selectors = [stateful_set["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in by_kind["PodDisruptionBudget"]]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in by_kind["NetworkPolicy"]]
    selectors += [one["spec"]["selector"] for one in by_kind["Service"]]
    selectors += [one["labelSelector"]["matchLabels"] for one in pod["topologySpreadConstraints"]]
    for selector in selectors:
        check(selector and selector.items() <= labels, f"{selector} selects the pods")

    ports = {port["name"] for port in container["ports"]}
    used = {port["targetPort"] for service in by_kind["Service"] for port in service["spec"]["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        used |= {container[probe][way]["port"] for way in ("httpGet", "grpc") if way in container[probe]}
    used |= {
        port["port"] for one in by_kind["NetworkPolicy"] for rule in one["spec"]["ingress"] for port in rule["ports"]
    }
    check(used == ports, f"the ports {used} are those of the container, {ports}")

    service_ports = {port["name"] for service in by_kind["Service"] for port in service["spec"]["ports"]}
    for monitor in by_kind.get("ServiceMonitor", []):
        check({one["port"] for one in monitor["spec"]["endpoints"]} <= service_ports, "the monitor's ports are there")

    check(
        stateful_set["spec"]["serviceName"] in {service["metadata"]["name"] for service in by_kind["Service"]},
        "the StatefulSet's service is there",
    )
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
    check({mount["name"] for mount in container["volumeMounts"]} == volumes, "each volume is mounted")
    for volume in pod["volumes"]:
        if "configMap" in volume:
            maps = {one["metadata"]["name"] for one in by_kind["ConfigMap"]}
            check(volume["configMap"]["name"] in maps, "the pods have the settings")
    check(pod["serviceAccountName"] in {one["metadata"]["name"] for one in by_kind["ServiceAccount"]}, "the account is there")

    mounts = tuple(mount["mountPath"] for mount in container["volumeMounts"])
    [settings] = [text for one in by_kind["ConfigMap"] for text in one["data"].values()]
    for line in settings.splitlines():
        path = line.partition(" = ")[2].strip('"')
        if path.startswith("/"):
            check(path.startswith(mounts), f"{path} is in a volume")


def one_at_a_time(by_kind: dict, stateful_set: dict, container: dict) -> None:
    """Two of three replicas serve, whatever is done to the third one, and an outage of etcd restarts none."""
    check(stateful_set["spec"]["replicas"] == 3, "there are three replicas")
    [budget] = by_kind["PodDisruptionBudget"]
    check(budget["spec"].get("maxUnavailable") == 1 and "minAvailable" not in budget["spec"], "one replica leaves at a time")
    check(budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "a replica that is not ready may go")
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        asked = container[probe]["httpGet"]
        check((asked["path"], asked["port"]) == (path, "metrics"), f"the {probe} asks for {path}")


def reaches_little(by_kind: dict) -> None:
    """Clients reach the service, Prometheus the metrics, and the replicas names and etcd: nothing else."""
    [policy] = by_kind["NetworkPolicy"]
    check(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}, "the network policy is about both directions")

    def rules(direction: str, side: str) -> set:
        found = set()
        for rule in policy["spec"][direction]:
            check(rule.get(side) and rule.get("ports"), f"each rule of {direction} says who and which ports")
            for peer in rule[side]:
                check(set(peer) == {"namespaceSelector"}, f"each rule of {direction} is about namespaces")
                labels = tuple(sorted(peer["namespaceSelector"]["matchLabels"].items()))
                check(labels, f"each rule of {direction} selects namespaces")
                found |= {(labels, port["protocol"], port["port"]) for port in rule["ports"]}
        return found

    named = "kubernetes.io/metadata.name"
    check(
        rules("ingress", "from")
        == {((("strongroom-client", "true"),), "TCP", "grpc"), (((named, "monitoring"),), "TCP", "metrics")},
        "clients reach the service, and Prometheus the metrics, and nobody else anything",
    )
    check(
        rules("egress", "to")
        == {
            (((named, "kube-system"),), "UDP", 53),
            (((named, "kube-system"),), "TCP", 53),
            (((named, "etcd"),), "TCP", 2379),
        },
        "the replicas reach names and etcd, and nothing else",
    )


def has_an_anchor(by_kind: dict, stateful_set: dict, container: dict) -> None:
    """The anchor is in the volume of each replica, which outlives its pod."""
    claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
    [kept] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in claims]
    [settings] = [text for one in by_kind["ConfigMap"] for text in one["data"].values()]
    anchors = [line.partition(" = ")[2].strip('"') for line in settings.splitlines() if line.startswith("anchor_file = ")]
    check(len(anchors) == 1 and anchors[0].startswith(f"{kept}/"), "each replica keeps its anchor in its volume")


def few_rights(by_kind: dict, pod: dict, container: dict) -> None:
    """What the level "restricted" of Kubernetes' pod security standards asks for, and a root file system that is read-only."""
    check(pod["automountServiceAccountToken"] is False, "the pods have no token")
    check(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, "the pods are not root")
    check(pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, "the pods have a seccomp profile")
    context = container["securityContext"]
    check(context["allowPrivilegeEscalation"] is False, "the container gets no further rights")
    check(context["readOnlyRootFilesystem"] is True, "the root file system is read-only")
    check(context["capabilities"] == {"drop": ["ALL"]}, "the container has no capabilities")
    for volume in pod["volumes"]:
        if "secret" in volume:
            check(volume["secret"]["defaultMode"] == 0o400, "only root and the pods' group may read secrets")
    [namespace] = by_kind["Namespace"]
    level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    check(level == "restricted", "the namespace admits restricted pods alone")


def accepts(binary: str, arguments: list[str], which: str) -> None:
    """Fails unless the server comes as far as its data folder with these arguments."""
    arguments = [one for one in arguments if not one.startswith(("--data-dir=", "--config="))]
    done = subprocess.run(
        [binary, *arguments, f"--data-dir={NOWHERE}"], capture_output=True, text=True, timeout=60, check=False
    )
    check(NOWHERE in done.stderr, f"the server accepts the arguments {which}: {done.stderr.strip()}")


def check(holds: object, what: str) -> None:
    if not holds:
        sys.exit(f"manifests: this does not hold: {what}")


main()
