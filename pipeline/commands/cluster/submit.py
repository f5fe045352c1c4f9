"""`transom submit`: runs a compiled pipeline on a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "submit",
        submit,
        "run a compiled pipeline on a cluster",
        "Uploads the pipeline as a new version and starts a run, or with --cron or --every a recurring run, which "
        "reads the newest data each time and replaces the one that an earlier submission created. Credentials are "
        "those of kfp's client (KFP_API_TOKEN, or a service account's token in a pod).",
        """
        transom submit --endpoint http://localhost:8888    runs pipeline.yaml of the current folder, once
        transom submit nightly.yaml --endpoint http://localhost:8888 --cron "0 0 3 * * *"
        """,
    )
    add = parser.add_argument
    add(
        "pipeline",
        type=Path,
        nargs="?",
        default=Path("pipeline.yaml"),
        metavar="FILE",
        help="what `transom compile` wrote (default: %(default)s)",
    )
    add("--endpoint", required=True, metavar="URL", help="the API of Kubeflow Pipelines")
    add("--platform", type=Path, metavar="FILE", help="the Kubernetes document, if it is a separate file")
    add("--experiment", default="Default", metavar="NAME", help="the experiment of the runs (default: %(default)s)")
    add("--namespace", metavar="NAME", help="the namespace of the pipeline, on clusters with several users")
    add("--service-account", metavar="NAME", help="the account that the steps run as")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--cron", metavar="CRON", help='six fields, seconds first: "0 0 3 * * *"')
    when.add_argument("--every", type=float, metavar="HOURS", help="hours between recurring runs")
    add("--wait", action="store_true", help="wait until the run ends (not for recurring runs)")


def submit(options: argparse.Namespace) -> int:
    from pipeline.kubeflow import submission

    return submission.run(options)
