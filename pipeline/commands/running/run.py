"""`transom run`: runs the pipeline on this machine."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command, add_config, step_name
from pipeline.steps import BASELINES_STEP, DESCRIPTIONS, EDGE_STEPS


def add(commands: Commands) -> None:
    width = max(map(len, DESCRIPTIONS)) + 2
    steps = [f"  {name:<{width}}{meaning}" for name, meaning in DESCRIPTIONS.items()]
    parser = add_command(
        commands,
        "run",
        run,
        "run the pipeline: train, measure, push",
        "Runs the pipeline that transom.yaml describes and prints a line per step. A step whose data, settings and "
        "code are unchanged is not repeated: its last result is used. A model that misses a threshold is not pushed "
        "(exit code 8), and the one pushed before stays.\n\nthe steps, for --from and --to:\n"
        + "\n".join(steps)
        + f"\n\n{' and '.join(EDGE_STEPS)} are left out if edge.variants is empty, {BASELINES_STEP} if both of "
        "evaluation.baselines are off.",
        """
        transom run                                    the transom.yaml of the current folder
        transom run reviews/ --set train.epochs=3      another project, with one key changed
        transom run --to DataGate                      only check the data
        transom run --from Evaluator                   measure the last model again
        transom run --json > run.jsonl                 output for a program
        """,
    )
    add_config(parser)
    parser.add_argument(
        "--from",
        dest="from_step",
        type=step_name,
        metavar="STEP",
        help="start here, with the last results of the earlier steps",
    )
    parser.add_argument("--to", dest="to_step", type=step_name, metavar="STEP", help="stop after this step")
    parser.add_argument("--json", action="store_true", help="one JSON object per line: steps, progress, result")
    parser.add_argument("--wait", action="store_true", help="wait while another run holds the project")


def run(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find_project_file
    from pipeline.runs.pipeline_run import run as run_pipeline

    return run_pipeline(
        find_project_file(options.config),
        options.set,
        from_step=options.from_step,
        to_step=options.to_step,
        as_json=options.json,
        wait=options.wait,
        verbose=options.verbose,
    )
