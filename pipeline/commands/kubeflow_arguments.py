"""The arguments of `transom compile` and `transom submit`; standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import Run, add_command, add_config, add_verbose

if TYPE_CHECKING:
    from pipeline.commands.arguments import Commands


def add(commands: Commands, *, compile_: Run, submit: Run) -> None:
    """Adds `transom compile` and `transom submit`."""
    _add_compile(commands, compile_)
    _add_submit(commands, submit)


def _add_compile(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "compile",
        function,
        "write the pipeline for Kubeflow Pipelines or Vertex AI",
        "Writes a PipelineSpec (schema 2.1.0) that open-source Kubeflow Pipelines 2.x accepts, and what Kubernetes "
        "is told of volumes, secrets and nodes. --verify then runs that file on this machine, twice.",
        """
        transom compile --dockerfile image             the Dockerfile of the steps' image, and how to build it
        transom compile --image HOST/transom:0.1.0     writes pipeline.yaml from the current folder's transom.yaml
        transom compile reviews/ --verify              and runs that file here, every step a process
        """,
    )
    add_config(parser)
    add_ = parser.add_argument
    add_(
        "--out",
        type=Path,
        default=Path("pipeline.yaml"),
        metavar="FILE",
        help="the file to write (default: %(default)s)",
    )
    add_(
        "--platform", type=Path, metavar="FILE", help="write the Kubernetes document apart (default: in --out, second)"
    )
    add_("--image", metavar="IMAGE", help="the image of the steps (default: kubeflow.image)")
    add_("--target", choices=("kubeflow", "vertex"), default="kubeflow", help="what will run it (default: %(default)s)")
    add_("--verify", action="store_true", help="run the written file here, step by step, twice")
    add_(
        "--mount", action="append", default=[], metavar="PATH=DIR", help="for --verify: what a container's path is here"
    )
    add_("--work", type=Path, metavar="DIR", help="for --verify: keep what the steps write here")
    add_("--dockerfile", type=Path, metavar="DIR", help="write the image's Dockerfile instead, and say how to build it")
    add_verbose(parser)


def _add_submit(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "submit",
        function,
        "run a compiled pipeline on a cluster",
        "Uploads the pipeline as a new version and starts a run, or with --cron or --every a recurring run: each reads "
        "the newest data, and takes the place of the one that an earlier submission made. Credentials are those of "
        "kfp's client (KFP_API_TOKEN, a service account's token in a pod).",
        """
        transom submit --endpoint http://localhost:8888    runs pipeline.yaml of the current folder, once
        transom submit nightly.yaml --endpoint http://localhost:8888 --cron "0 0 3 * * *"
        """,
    )
    add_ = parser.add_argument
    add_(
        "pipeline",
        type=Path,
        nargs="?",
        default=Path("pipeline.yaml"),
        metavar="FILE",
        help="what `transom compile` wrote (default: %(default)s)",
    )
    add_("--endpoint", required=True, metavar="URL", help="the API of Kubeflow Pipelines")
    add_("--platform", type=Path, metavar="FILE", help="the Kubernetes document, where it stands apart")
    add_(
        "--experiment", default="Default", metavar="NAME", help="under which the runs are listed (default: %(default)s)"
    )
    add_("--namespace", metavar="NAME", help="for clusters of several users: where to look for the pipeline")
    add_("--service-account", metavar="NAME", help="as which the steps run")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--cron", metavar="CRON", help='six fields, seconds first: "0 0 3 * * *"')
    when.add_argument("--every", type=float, metavar="HOURS", help="a run each so many hours")
    add_("--wait", action="store_true", help="wait for the run's end (not for recurring runs)")
    add_verbose(parser)
