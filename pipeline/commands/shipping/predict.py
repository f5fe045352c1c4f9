"""`transom predict`: queries a pushed or served model."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command, add_texts, path_or_url


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "predict",
        predict,
        "query a pushed or served model",
        "Prints the label and score of each text, tab-separated. Texts come from the arguments, from --file (a table, "
        "or one text per line), or from standard input. An empty text is not sent to the model: its line stays "
        "empty.\n"
        "MODEL is a run's output folder (NAME-out), the folder of pushed versions, one version's folder, an edge "
        "bundle, or the URL of a server: grpc://HOST:8500/NAME, http://HOST:8501/NAME, or grpcs and https.",
        """
        transom predict reviews-out "so good" "so dull"          the newest pushed version
        transom predict reviews-out --file reviews.csv           the rows of a table
        transom predict reviews-out --file texts.txt --json      one JSON object per line
        transom predict grpc://localhost:8500/reviews "so good"  a model that `transom serve` serves
        transom predict pairs-out "A man eats." --pair "A man is eating."
        """,
    )
    parser.add_argument(
        "model", type=path_or_url, metavar="MODEL", help="output, push or version folder, bundle, or URL"
    )
    add_texts(parser)
    parser.add_argument(
        "--model", dest="served", metavar="NAME", help="the served model's name, if the URL does not end with it"
    )


def predict(options: argparse.Namespace) -> int:
    from pipeline.predict import text_predictions

    return text_predictions.predict(
        options.model,
        options.texts,
        options.pair,
        options.file,
        columns=options.column,
        served=options.served,
        as_json=options.json,
        verbose=options.verbose,
    )
