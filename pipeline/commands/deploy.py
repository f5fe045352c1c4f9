"""`transom deploy`: manifests for TF Serving, and canaries promoted or rolled back."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import ConfigError
from serving.client import Tls
from serving.deploy.plan import plan
from serving.deploy.release import release
from serving.deploy.render import write
from serving.errors import ServingError

_NEXT = {
    "compose": "docker compose -f {out}/compose.yaml up --detach --wait",
    "kubernetes": "kubectl apply -f {out}",
    "kserve": "kubectl apply -f {out}",
}


def render(options: argparse.Namespace) -> int:
    """Writes the manifests that the command line asks for; see `transom deploy render --help`.

    Raises:
        ConfigError: they cannot be written as asked.
    """
    with _explained():
        made = plan(
            options.target,
            options.push_dir,
            name=options.name,
            stable=options.stable,
            canary=options.canary,
            image=options.image,
            replicas=options.replicas,
            max_replicas=options.max_replicas,
            cpu=options.cpu,
            memory=options.memory,
            bucket=options.bucket,
            pvc=options.pvc,
            host_path=options.host_path,
            namespace=options.namespace,
            service_account=options.service_account,
            batching=not options.no_batching,
            bind=options.bind,
            allow_namespaces=options.allow_namespace,
        )
        for path in write(made, options.out):
            print(f"wrote {path}")
    print(f"next: {_NEXT[options.target].format(out=options.out)}")
    return 0


def move(options: argparse.Namespace) -> int:
    """Promotes a canary or rolls it back; see `transom deploy promote --help`.

    Raises:
        ConfigError: nothing to move, or a file or a server that does not take it.
    """
    with _explained():
        tls = Tls(options.ca, options.cert, options.key) if options.ca or options.cert or options.key else None
        moved = release(options.step, options.name, options.config, options.server, tls)
    print(f"{options.name}: stable is version {moved.after} (was {moved.before}); loaded: {_list(moved.loaded)}")
    return 0


def _list(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))


@contextmanager
def _explained() -> Iterator[None]:
    """What `serving` refuses, as an error that the command line shows."""
    try:
        yield
    except ServingError as error:
        raise ConfigError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error
