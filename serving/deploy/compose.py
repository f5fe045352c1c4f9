"""A file for `docker compose`: TF Serving on one machine."""

from __future__ import annotations

from typing import Any

from serving.deploy.plan import DeployPlan, cores
from serving.deploy.server_files import CONFIG_FOLDER, GRPC_PORT, REST_PORT, arguments

# The image has neither curl nor wget.
_STATUS = (
    "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /v1/models/{model} HTTP/1.0\\r\\n\\r\\n' >&3 "
    "&& head -n 1 <&3 | grep -q ' 200 '"
)


def manifest(plan: DeployPlan, config_folder: str) -> dict[str, Any]:
    """The content of compose.yaml; `config_folder`, next to it, holds the server's files."""
    volumes = [_mount(f"./{config_folder}", CONFIG_FOLDER)]
    if not plan.bucket:
        volumes.append(_mount(str(plan.push_dir), plan.base_path))
    address = f"[{plan.bind}]" if ":" in plan.bind else plan.bind
    service = {
        "image": plan.image,
        "entrypoint": ["/usr/bin/tensorflow_model_server"],
        "command": arguments(plan),
        "ports": [f"{address}:{port}:{port}" for port in (GRPC_PORT, REST_PORT)],
        "volumes": volumes,
        "user": "65532:65532",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
        "healthcheck": {
            "test": ["CMD", "bash", "-c", _STATUS.format(port=REST_PORT, model=plan.model)],
            "interval": "5s",
            "timeout": "5s",
            "retries": 6,
            "start_period": "300s",
        },
        "deploy": {"resources": {"limits": {"cpus": f"{cores(plan.cpu):g}", "memory": plan.memory[:-1].lower()}}},
    }
    return {"name": plan.resource, "services": {plan.resource: service}}


def _mount(source: str, target: str) -> dict[str, Any]:
    """Mounts a folder, not a file: if an editor replaced the file, the container would keep the old one."""
    source = source.replace("$", "$$")  # or compose would expand a variable
    return {"type": "bind", "source": source, "target": target, "read_only": True}
