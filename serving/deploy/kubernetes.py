"""Manifests for Kubernetes: TF Serving as a Deployment, with the resources that production needs."""

from __future__ import annotations

import hashlib
from typing import Any

from serving.deploy.plan import DeployPlan
from serving.deploy.server_files import CONFIG_FOLDER, GRPC_PORT, METRICS_PATH, REST_PORT, arguments, files

Manifest = dict[str, Any]

_USER = 65532  # an arbitrary user: the image needs no particular one
_AS_USER = {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER}
_SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    **_AS_USER,
    "capabilities": {"drop": ["ALL"]},
    **_SECCOMP,
}
CONFIG_MOUNT = {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}
_PORTS = [
    {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"},
    {"name": "http", "port": REST_PORT, "targetPort": "http", "appProtocol": "http"},
]
_DRAIN_SECONDS, _GRACE_SECONDS = 10, 75
_METADATA_SERVER = "169.254.169.254/32"  # in Google's cloud: provides the pods' credentials for gs://


def manifests(plan: DeployPlan) -> dict[str, list[Manifest]]:
    """File name to the resources in it."""
    service = {"selector": _selector(plan), "ports": _PORTS}
    disruption = {"maxUnavailable": 1, "selector": {"matchLabels": _selector(plan)}}
    return {
        "configmap.yaml": [config_map(plan)],
        "deployment.yaml": [resource(plan, "apps/v1", "Deployment", spec=_deployment(plan))],
        "service.yaml": [
            resource(plan, "v1", "Service", spec={"type": "ClusterIP", **service}),
            # Resolves to every pod: behind a single address, a gRPC client would keep its connection to one pod.
            resource(plan, "v1", "Service", "-pods", spec={"clusterIP": "None", **service}),
        ],
        "autoscaler.yaml": [resource(plan, "autoscaling/v2", "HorizontalPodAutoscaler", spec=_autoscaler(plan))],
        "disruption.yaml": [resource(plan, "policy/v1", "PodDisruptionBudget", spec=disruption)],
        "network.yaml": [resource(plan, "networking.k8s.io/v1", "NetworkPolicy", spec=_network_policy(plan))],
    }


def labels(plan: DeployPlan) -> dict[str, str]:
    """The labels of every resource; the first two select the pods."""
    return {**_selector(plan), "app.kubernetes.io/component": "model-server", "app.kubernetes.io/managed-by": "transom"}


def resource(plan: DeployPlan, api: str, kind: str, suffix: str = "", **parts: Any) -> Manifest:
    """A resource with its metadata."""
    metadata: Manifest = {"name": plan.resource + suffix, "labels": labels(plan)}
    if plan.namespace:
        metadata["namespace"] = plan.namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **parts}


def config_map(plan: DeployPlan) -> Manifest:
    """The server's files; pods see a change within a minute or two, without a restart."""
    return resource(plan, "v1", "ConfigMap", "-config", data=files(plan))


def config_volume(plan: DeployPlan) -> Manifest:
    """The volume of `config_map`; it must be mounted as a folder, or the pods would not see changes."""
    return {"name": "config", "configMap": {"name": f"{plan.resource}-config"}}


def resources(plan: DeployPlan) -> Manifest:
    """No CPU limit: it would throttle a pod in the middle of a request while cores are idle."""
    return {"requests": {"cpu": plan.cpu, "memory": plan.memory}, "limits": {"memory": plan.memory}}


def probe(plan: DeployPlan, port: int | str, period: int, failures: int) -> Manifest:
    """Probes the REST status route, which responds once every configured model is loaded."""
    return {
        "httpGet": {"path": f"/v1/models/{plan.model}", "port": port},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _selector(plan: DeployPlan) -> dict[str, str]:
    return {"app.kubernetes.io/name": "tensorflow-serving", "app.kubernetes.io/instance": plan.resource}


def _deployment(plan: DeployPlan) -> Manifest:
    # No replicas: the autoscaler sets their number, and applying the manifest again must not reset it.
    others = {key: text for key, text in files(plan).items() if key != "models.config"}
    checksum = hashlib.sha256(repr(sorted(others.items())).encode()).hexdigest()[:16]
    annotations = {
        # The server reads these files only at start: other content needs new pods.
        "transom/config-checksum": checksum,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(REST_PORT),
        "prometheus.io/path": METRICS_PATH,
    }
    return {
        "selector": {"matchLabels": _selector(plan)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": labels(plan), "annotations": annotations}, "spec": _pod(plan)},
    }


def _pod(plan: DeployPlan) -> Manifest:
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "securityContext": {**_AS_USER, "fsGroup": _USER, "fsGroupChangePolicy": "OnRootMismatch", **_SECCOMP},
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _selector(plan)},
            }
        ],
        "containers": [_container(plan)],
        "volumes": [config_volume(plan), {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}, *_model_volume(plan)],
    }
    if plan.service_account:
        pod["serviceAccountName"] = plan.service_account
    return pod


def _container(plan: DeployPlan) -> Manifest:
    mounts: list[Manifest] = [CONFIG_MOUNT, {"name": "tmp", "mountPath": "/tmp"}]
    if not plan.bucket:
        mounts.append({"name": "models", "mountPath": plan.base_path, "readOnly": True})
        if plan.pvc and plan.pvc[1]:
            mounts[-1]["subPath"] = plan.pvc[1]
    return {
        "name": "tensorflow-serving",
        "image": plan.image,
        # The image's entry point is a script that sets its own model name.
        "command": ["/usr/bin/tensorflow_model_server"],
        "args": arguments(plan),
        "ports": [{"name": "grpc", "containerPort": GRPC_PORT}, {"name": "http", "containerPort": REST_PORT}],
        "startupProbe": probe(plan, "http", period=2, failures=300),
        "readinessProbe": probe(plan, "http", period=5, failures=2),
        "livenessProbe": probe(plan, "http", period=10, failures=6),
        # Requests still arrive until every node knows that this pod is ending.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_DRAIN_SECONDS)]}}},
        "resources": resources(plan),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }


def _model_volume(plan: DeployPlan) -> list[Manifest]:
    if plan.pvc:
        return [{"name": "models", "persistentVolumeClaim": {"claimName": plan.pvc[0], "readOnly": True}}]
    if plan.host_path:
        return [{"name": "models", "hostPath": {"path": plan.host_path, "type": "Directory"}}]
    return []


def _autoscaler(plan: DeployPlan) -> Manifest:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": plan.resource},
        "minReplicas": plan.replicas,
        "maxReplicas": plan.max_replicas,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }


def _network_policy(plan: DeployPlan) -> Manifest:
    """Ingress: both ports, from this namespace and the allowed ones. Egress: none, or what a bucket needs."""
    peers: list[Manifest] = [{"podSelector": {}}]
    peers += [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in plan.allow_namespaces
    ]
    ports = [{"protocol": "TCP", "port": port} for port in (GRPC_PORT, REST_PORT)]
    egress: list[Manifest] = []
    if plan.bucket:
        names = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        metadata = [{"protocol": "TCP", "port": port} for port in (80, 988)]  # 988: GKE's workload identity
        egress = [
            {"ports": names},
            {"ports": [{"protocol": "TCP", "port": 443}]},
            {"to": [{"ipBlock": {"cidr": _METADATA_SERVER}}], "ports": metadata},
        ]
    return {
        "podSelector": {"matchLabels": _selector(plan)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": peers, "ports": ports}],
        "egress": egress,
    }
