"""The arguments of `transom predict` and `transom serve`; standard library alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import Run, add_command, add_texts, add_verbose

if TYPE_CHECKING:
    from pipeline.commands.arguments import Commands


def add(commands: Commands, *, predict: Run, serve: Run) -> None:
    """Adds `transom predict` and `transom serve`."""
    parser = add_command(
        commands,
        "predict",
        predict,
        "ask a pushed or served model",
        "Prints label and score of each text, tab-separated. Texts come as arguments, from --file (a table, or a text "
        "a line), or from standard input. An empty text is not asked: its line stays empty.\n"
        "MODEL is a run's output folder (NAME-out), the folder of pushed versions, one version's folder, an edge "
        "bundle, or the URL of a server: grpc://HOST:8500/NAME, http://HOST:8501/NAME, or grpcs and https.",
        """
        transom predict reviews-out "so good" "so dull"          the newest pushed version
        transom predict reviews-out --file reviews.csv           the rows of a table
        transom predict reviews-out --file texts.txt --json      a JSON object a line
        transom predict grpc://localhost:8500/reviews "so good"  a model that `transom serve` serves
        transom predict pairs-out "A man eats." --pair "A man is eating."
        """,
    )
    parser.add_argument("model", metavar="MODEL", help="output, push or version folder, bundle, or URL")
    add_texts(parser)
    parser.add_argument("--model", dest="served", metavar="NAME", help="the served model, if the URL does not end so")
    add_verbose(parser)

    parser = add_command(
        commands,
        "serve",
        serve,
        "serve a pushed model over gRPC and REST",
        "Serves with TF Serving's protocol until it is interrupted: gRPC on port 8500, REST on 8501. PUSH_DIR is a "
        "run's output folder (NAME-out), the folder of pushed versions (new ones are served as they come) or one "
        "version's folder. Only this machine can ask it, unless FLAGS have --host=0.0.0.0 or another address.\n"
        "FLAGS come after PUSH_DIR and are those of tensorflow_model_server; `transom serve PUSH_DIR --help` lists "
        "them. `transom -v serve PUSH_DIR` shows what TensorFlow prints.",
        """
        transom serve reviews-out
        transom serve reviews-out --workers=2 --port=9000 --rest_api_port=9001
        curl http://localhost:8501/v1/models/reviews:predict -d '{"instances": ["so good"]}'
        """,
    )
    parser.add_argument("directory", type=Path, metavar="PUSH_DIR", help="output folder, push folder or version folder")
    flags = parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAGS", help="such as --workers=2")
    flags.required = False  # argparse would name it where PUSH_DIR is missing
