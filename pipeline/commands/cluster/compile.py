"""`transom compile`: writes the pipeline for a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command, add_config


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "compile",
        compile_pipeline,
        "write the pipeline for Kubeflow Pipelines or Vertex AI",
        "Writes a PipelineSpec (schema 2.1.0) that open-source Kubeflow Pipelines 2.x accepts, and the settings that "
        "Kubernetes needs for volumes, secrets and nodes. --verify then runs that file on this machine, twice.",
        """
        transom compile --dockerfile image             the Dockerfile of the steps' image, and how to build it
        transom compile --image HOST/transom:0.1.0     writes pipeline.yaml from the current folder's transom.yaml
        transom compile reviews/ --verify              and runs that file here, each step as a process
        """,
    )
    add_config(parser)
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("pipeline.yaml"),
        metavar="FILE",
        help="the file to write (default: %(default)s)",
    )
    add(
        "--platform",
        type=Path,
        metavar="FILE",
        help="write the Kubernetes document to a separate file (default: second in --out)",
    )
    add("--image", metavar="IMAGE", help="the image of the steps (default: kubeflow.image)")
    add("--target", choices=("kubeflow", "vertex"), default="kubeflow", help="the platform (default: %(default)s)")
    add("--verify", action="store_true", help="run the written file here, step by step, twice")
    add(
        "--mount",
        action="append",
        default=[],
        metavar="PATH=DIR",
        help="for --verify: the folder that stands in for a container's path here",
    )
    add("--work", type=Path, metavar="DIR", help="for --verify: keep the steps' outputs here")
    add(
        "--dockerfile", type=Path, metavar="DIR", help="write the image's Dockerfile instead, and print how to build it"
    )


def compile_pipeline(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find_project_file
    from pipeline.kubeflow import compilation

    if options.dockerfile is None:
        options.config = find_project_file(options.config)
    return compilation.run(options)
