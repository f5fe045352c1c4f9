"""`transom deploy`: writes manifests for TF Serving, promotes canaries and rolls them back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.errors import ConfigError
from pipeline.commands.arguments import Commands, add_command, add_group

_CANARY = (
    "A canary is a new version that at first serves only the callers that request the label canary. The others request "
    "the label stable, until the canary is promoted or rolled back."
)
_NEXT = {
    "compose": "docker compose -f {out}/compose.yaml up --detach --wait",
    "kubernetes": "kubectl apply -f {out}",
    "kserve": "kubectl apply -f {out}",
}
# Flags that the plan takes under their own names.
_PLAN_FLAGS = (
    *("target", "push_dir", "name", "stable", "canary", "image", "replicas", "max_replicas", "cpu", "memory"),
    *("bucket", "pvc", "host_path", "namespace", "service_account", "bind"),
)


def add(commands: Commands) -> None:
    steps = add_group(commands, "deploy", "write manifests for TF Serving; promote, roll back")
    parser = add_command(
        steps,
        "render",
        render,
        "write manifests",
        "Writes the manifests to run the pushed model on TF Serving's own image. By default the newest version is "
        "served; --stable and --canary pin versions and give them these labels.\n" + _CANARY,
        """
        transom deploy render --target compose --push-dir reviews-out/serving/reviews --out deploy
        docker compose -f deploy/compose.yaml up --detach --wait
        """,
    )
    _add_render_arguments(parser.add_argument)
    for step, summary in (
        ("promote", "give the canary's version the label stable; the old one stays loaded"),
        ("rollback", "withdraw the canary, or return to the version before it was promoted"),
    ):
        parser = add_command(
            steps,
            step,
            move,
            summary,
            f"{summary.capitalize()}. The file is changed once every --server has loaded the new configuration.\n"
            f"{_CANARY}",
            f"transom deploy {step} --model reviews --config deploy --server grpc://localhost:8500",
        )
        _add_move_arguments(parser, step)


def _add_render_arguments(add: Callable[..., Any]) -> None:
    add("--target", required=True, choices=("compose", "kubernetes", "kserve"), help="what the manifests are for")
    add(
        "--push-dir",
        required=True,
        type=Path,
        metavar="DIR",
        help="the folder of the pushed versions: NAME-out/serving/NAME",
    )
    add("--out", required=True, type=Path, metavar="DIR", help="the folder to write to")
    add("--name", help="the served name (default: the push folder's)")
    add("--stable", type=int, metavar="VERSION", help="the version with the label stable")
    add("--canary", type=int, metavar="VERSION", help="the version with the label canary; stable is the one before")
    add("--bucket", metavar="URL", help="gs://BUCKET/PATH of the versions (kserve: s3:// as well)")
    add("--pvc", metavar="CLAIM[:PATH]", help="the volume claim of the versions")
    add("--host-path", metavar="PATH", help="the folder of the versions on every node (kubernetes)")
    add("--image", default="tensorflow/serving:2.20.0", help="TF Serving's image (default: %(default)s)")
    add("--replicas", type=int, metavar="N", help="at least this many pods (default: 2)")
    add("--max-replicas", type=int, metavar="N", help="at most this many (default: three times --replicas)")
    add("--cpu", default="1", help="cores of each pod (default: %(default)s)")
    add("--memory", default="2Gi", help="memory of each pod (default: %(default)s)")
    add("--namespace", metavar="NAME", help="of Kubernetes (default: kubectl's current one)")
    add(
        "--service-account", metavar="NAME", help="the account that the pods run as; it must be able to read the bucket"
    )
    add(
        "--allow-namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="another namespace whose pods may connect",
    )
    add("--bind", default="127.0.0.1", metavar="IP", help="address of the ports (compose; default: %(default)s)")
    add("--no-batching", action="store_true", help="run each request alone instead of batching waiting ones")


def _add_move_arguments(parser: argparse.ArgumentParser, step: str) -> None:
    parser.set_defaults(step=step)
    parser.add_argument("--model", required=True, dest="name", metavar="NAME", help="the served model")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("."),
        metavar="PATH",
        help="models.config, a ConfigMap with it, or the folder of `deploy render` (default: the current one)",
    )
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="grpc://HOST:PORT of a server to update at once; may be given several times",
    )
    for name, meaning in (
        ("ca", "certificates of the authorities to trust"),
        ("cert", "the client's certificate, if the server requires one"),
        ("key", "its key"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="PEM", help=f"for grpcs://: {meaning}")


def render(options: argparse.Namespace) -> int:
    """Writes the manifests; see `transom deploy render --help`.

    Raises:
        ConfigError: they cannot be written as requested.
    """
    from serving.deploy.plan import plan
    from serving.deploy.render import write

    with _serving_errors_as_config_errors():
        deployment = plan(
            batching=not options.no_batching,
            allow_namespaces=options.allow_namespace,
            **{flag: getattr(options, flag) for flag in _PLAN_FLAGS},
        )
        for path in write(deployment, options.out):
            print(f"wrote {path}")
    print(f"next: {_NEXT[options.target].format(out=options.out)}")
    return 0


def move(options: argparse.Namespace) -> int:
    """Promotes a canary or rolls it back; see `transom deploy promote --help`.

    Raises:
        ConfigError: there is no canary to move, or the file or a server does not accept the change.
    """
    from serving.client import Tls
    from serving.deploy.release import release

    with _serving_errors_as_config_errors():
        tls = Tls(options.ca, options.cert, options.key) if options.ca or options.cert or options.key else None
        moved = release(options.step, options.name, options.config, options.server, tls)
    loaded = ", ".join(map(str, moved.loaded))
    print(f"{options.name}: stable is version {moved.after} (was {moved.before}); loaded: {loaded}")
    return 0


@contextmanager
def _serving_errors_as_config_errors() -> Iterator[None]:
    from serving.errors import ServingError

    try:
        yield
    except ServingError as error:
        raise ConfigError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error
