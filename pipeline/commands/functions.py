"""What each command calls. What a command needs is imported as it is called: `--help` waits for nothing."""

from __future__ import annotations

import argparse
import os
import sys


def version(options: argparse.Namespace) -> int:
    from pipeline.commands.version import version_text

    print(version_text(options.verbose))
    return 0


def init(options: argparse.Namespace) -> int:
    from pipeline.init.new_project import write

    refused: list[str] = []
    written = write(options.table, options.out, refused.append)
    print(f"wrote {written}: read it, then `transom run {written}`")
    for what in refused:
        print(f"the run will refuse these data as they are: {what}")
    return 0


def run(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find
    from pipeline.runs.pipeline_run import run as run_

    return run_(
        find(options.config),
        options.set,
        from_step=options.from_step,
        to_step=options.to_step,
        as_json=options.json,
        wait=options.wait,
        verbose=options.verbose,
    )


def runs(options: argparse.Namespace) -> int:
    from pipeline.configuration.loading import load
    from pipeline.configuration.project_file import find
    from pipeline.paths import Paths
    from pipeline.runs.run_tables import print_runs

    file = find(options.config)
    print_runs(Paths.of(load(file, options.set), file), sys.stdout, as_json=options.json)
    return 0


def tensorboard(options: argparse.Namespace) -> int:
    from pipeline.commands.tensorboard import show
    from pipeline.configuration.loading import load
    from pipeline.configuration.project_file import find
    from pipeline.paths import Paths

    file = find(options.config)
    paths = Paths.of(load(file, options.set), file)
    return show(paths.artifacts / "Trainer" / "model_run", options.port, verbose=options.verbose)


def schema(options: argparse.Namespace) -> int:
    from pipeline.configuration.reference import json_schema, markdown

    print(markdown() if options.markdown else json_schema())
    return 0


def predict(options: argparse.Namespace) -> int:
    from pipeline.predict.text_predictions import predict as predict_

    return predict_(
        options.model,
        options.texts,
        options.pair,
        options.file,
        columns=options.column,
        served=options.served,
        as_json=options.json,
        verbose=options.verbose,
    )


def serve(options: argparse.Namespace) -> int:
    from pipeline.commands.serve import serve as serve_

    if options.verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    return serve_(options.directory, options.flags)


def deploy_render(options: argparse.Namespace) -> int:
    from pipeline.commands.deploy import render

    return render(options)


def deploy_move(options: argparse.Namespace) -> int:
    from pipeline.commands.deploy import move

    return move(options)


def edge_export(options: argparse.Namespace) -> int:
    from pipeline.commands.edge import export

    return export(options)


def edge_run(options: argparse.Namespace) -> int:
    from pipeline.commands.edge import run as run_

    return run_(options)


def edge_bench(options: argparse.Namespace) -> int:
    from pipeline.commands.edge import bench

    return bench(options)


def edge_inspect(options: argparse.Namespace) -> int:
    from pipeline.commands.edge import inspect

    return inspect(options)


def compile_(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find
    from pipeline.kubeflow.compilation import run as run_

    if options.dockerfile is None:
        options.config = find(options.config)
    return run_(options)


def submit(options: argparse.Namespace) -> int:
    from pipeline.kubeflow.submission import run as run_

    return run_(options)
