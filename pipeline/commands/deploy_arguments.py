"""The arguments of `transom deploy`; standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.arguments import Run, add_command, add_group, add_verbose

if TYPE_CHECKING:
    from pipeline.commands.arguments import Commands


_CANARY = (
    "A canary is a new version that only some callers ask at first: those that name the label canary. The others name "
    "the label stable, until the canary is promoted or rolled back."
)


def add(commands: Commands, *, render: Run, move: Run) -> None:
    """Adds `transom deploy` and its commands.

    Args:
        render, move: the functions of `deploy render`, and of `deploy promote` and `deploy rollback`.
    """
    steps = add_group(commands, "deploy", "write manifests for TF Serving; promote a canary or roll it back")
    parser = add_command(
        steps,
        "render",
        render,
        "write manifests",
        "Writes what runs the pushed model on TF Serving's own image. Without --stable and --canary the newest version "
        "is served, whichever it is; with them those versions are pinned and have these labels.\n" + _CANARY,
        """
        transom deploy render --target compose --push-dir reviews-out/serving/reviews --out deploy
        docker compose -f deploy/compose.yaml up --detach --wait
        """,
    )
    _add_render_arguments(parser.add_argument)
    add_verbose(parser)
    for step, told in (
        ("promote", "give the canary's version the label stable; the old one stays loaded"),
        ("rollback", "withdraw the canary, or return to the version before it was promoted"),
    ):
        _add_move_arguments(add_command(steps, step, move, told, _described(told), _example(step)), step)


def _described(told: str) -> str:
    return f"{told.capitalize()}. The file is changed once every --server has taken the new configuration.\n{_CANARY}"


def _example(step: str) -> str:
    return f"transom deploy {step} --model reviews --config deploy --server grpc://localhost:8500"


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
    add("--namespace", metavar="NAME", help="of Kubernetes (default: what kubectl is set to)")
    add("--service-account", metavar="NAME", help="as which the pods run, one that may read the bucket")
    add(
        "--allow-namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="another namespace whose pods may connect",
    )
    add("--bind", default="127.0.0.1", metavar="IP", help="address of the ports (compose; default: %(default)s)")
    add("--no-batching", action="store_true", help="run each request by itself, rather than join those that wait")


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
        help="grpc://HOST:PORT of a server to tell at once; may be given several times",
    )
    for name, of in (
        ("ca", "certificates of the authorities to trust"),
        ("cert", "our certificate, where the server asks for one"),
        ("key", "its key"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="PEM", help=f"for grpcs://: {of}")
    add_verbose(parser)
