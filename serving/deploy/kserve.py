"""Manifests for KServe: an InferenceService on its TensorFlow runtime, with the same labels and files as other targets.

KServe puts the runtime's arguments before Transom's, and copies the model to /mnt/models when a pod starts
(kserve/kserve `config/runtimes/kserve-tensorflow-serving.yaml`, `MergeRuntimeContainers`): only
pods that start later see a version that is pushed later.
"""

from __future__ import annotations

from serving.deploy import kubernetes
from serving.deploy.kubernetes import Manifest
from serving.deploy.plan import DeployPlan
from serving.deploy.server_files import arguments

# The runtime's ports; KServe routes to the second.
_GRPC_PORT, _REST_PORT = 9000, 8080


def manifests(plan: DeployPlan) -> dict[str, list[Manifest]]:
    """File name to the resources in it."""
    return {"configmap.yaml": [kubernetes.config_map(plan)], "inferenceservice.yaml": [_inference_service(plan)]}


def _inference_service(plan: DeployPlan) -> Manifest:
    predictor: Manifest = {
        "minReplicas": plan.replicas,
        "maxReplicas": plan.max_replicas,
        "scaleMetric": "cpu",
        "scaleTarget": 70,
        "model": _model(plan),
        "volumes": [kubernetes.config_volume(plan)],
    }
    if plan.service_account:
        predictor["serviceAccountName"] = plan.service_account
    service = kubernetes.resource(plan, "serving.kserve.io/v1beta1", "InferenceService", spec={"predictor": predictor})
    # Knative would also need the name of the autoscaler and permission for volumes. Newer releases call this mode
    # Standard, and still accept this name.
    service["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "RawDeployment"}
    return service


def _model(plan: DeployPlan) -> Manifest:
    claim, path = plan.pvc or ("", "")
    return {
        "modelFormat": {"name": "tensorflow", "version": "2"},
        "protocolVersion": "v1",
        "storageUri": plan.bucket or f"pvc://{claim}" + (f"/{path}" if path else ""),
        "image": plan.image,
        "args": arguments(plan, _GRPC_PORT, _REST_PORT)[2:],  # the runtime sets the ports
        "readinessProbe": kubernetes.probe(plan, _REST_PORT, period=5, failures=2),
        "resources": kubernetes.resources(plan),
        "securityContext": kubernetes.CONTAINER_SECURITY,
        "volumeMounts": [kubernetes.CONFIG_MOUNT],
    }
