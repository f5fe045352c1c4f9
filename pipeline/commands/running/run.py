"""`transom run`: runs the pipeline on this machine."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command, add_config, positive_number, step_name
from pipeline.steps import BASELINES_STEP, DESCRIPTIONS, EDGE_STEPS

_DEBUG_STEPS = 8


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
        "(exit code 8), and the one pushed before stays.\n"
        "With --debug, the first steps of the training run eagerly, in one process, and every layer is checked: the "
        "first number that is not finite stops it, with the layer's name and the rows of the batch. On a terminal, an "
        "exception opens pdb. Nothing is pushed, and no checkpoint is read or written.\n\n"
        "the steps, for --from and --to:\n"
        + "\n".join(steps)
        + f"\n\n{' and '.join(EDGE_STEPS)} are left out if edge.variants is empty, {BASELINES_STEP} if both of "
        "evaluation.baselines are off.",
        """
        transom run                                    the transom.yaml of the current folder
        transom run reviews/ --set train.epochs=3      another project, with one key changed
        transom run --to DataGate                      only check the data
        transom run --from Evaluator                   measure the last model again
        transom run --debug                            stop at the first NaN, and say where it is
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
    parser.add_argument("--debug", action="store_true", help="train a few steps eagerly, each layer checked")
    parser.add_argument(
        "--steps",
        type=positive_number,
        metavar="N",
        help=f"with --debug: how many optimizer steps (default: {_DEBUG_STEPS})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line: steps, progress, result")
    parser.add_argument("--wait", action="store_true", help="wait while another run holds the project")


def run(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find_project_file
    from pipeline.runs.pipeline_run import run as run_pipeline

    file = find_project_file(options.config)
    common = {"as_json": options.json, "wait": options.wait, "verbose": options.verbose}
    if options.debug:
        _refuse(options.from_step is not None or options.to_step is not None, "--debug", "--from or --to")
        from pipeline.inspection.debug_run import run_debug

        return run_debug(file, options.set, steps=options.steps or _DEBUG_STEPS, **common)
    _refuse(options.steps is not None, "--steps", "no --debug")
    return run_pipeline(
        file,
        options.set,
        from_step=options.from_step,
        to_step=options.to_step,
        **common,
    )


def _refuse(wrong: bool, option: str, got: str) -> None:
    from models.errors import ConfigError

    if wrong:
        expected = "--debug with --steps alone: it trains, from the first step of the training on"
        raise ConfigError(option, got=got, expected=expected, fix="leave one of them out, or add what is missing")
