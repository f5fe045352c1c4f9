"""`transom predict`: a pushed or served model answers texts from the command line, a file or standard input."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from models.errors import ConfigError, DataError
from models.runtime import prepare
from pipeline.console import silence


class Answer(Protocol):
    """What both kinds of models answer to a text."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ...

    def line(self) -> str:
        """For a terminal."""
        ...


def predict(
    model: str,
    texts: list[str],
    pairs: list[str],
    file: Path | None,
    *,
    served: str | None = None,
    as_json: bool,
    verbose: bool = False,
) -> int:
    """Prints the answer to each text, in their order; see `transom predict --help`.

    Args:
        model: a folder, or the URL of a server.
        served: the name of the model there, where the URL does not end with it.

    Raises:
        ConfigError: no texts, texts and pairs of different number, or no such URL.
        DataError: the file cannot be read.
        ModelError: no model there, or one that asks for other inputs.
    """
    from serving.client.target import is_url

    remote = is_url(model)
    if served is not None and not remote:
        raise ConfigError("transom predict", got=f"--model and the folder {model}", expected="--model beside a URL")
    texts, pairs = _inputs(texts, pairs, file)
    answers = _ask_server(model, served, texts, pairs) if remote else _ask_folder(Path(model), texts, pairs, verbose)
    for text, answer in zip(texts, answers, strict=True):
        if as_json:
            print(json.dumps({"text": text, **answer.as_dict()}, ensure_ascii=False))
        else:
            print(answer.line(), text, sep="\t")
    return 0


def _ask_server(url: str, served: str | None, texts: list[str], pairs: list[str]) -> Sequence[Answer]:
    from pipeline import remote

    return remote.predict(url, served, texts, pairs or None)


def _ask_folder(folder: Path, texts: list[str], pairs: list[str], verbose: bool) -> Sequence[Answer]:
    prepare()
    with contextlib.nullcontext() if verbose else silence():
        from models.predict import load

        return load(folder).predict(texts, pairs or None)


def _inputs(texts: list[str], pairs: list[str], file: Path | None) -> tuple[list[str], list[str]]:
    if file is not None:
        if texts or pairs:
            raise ConfigError("transom predict", got="texts and --file", expected="one of them")
        return _split(_lines(file))
    if not texts:
        if sys.stdin.isatty():
            raise ConfigError("transom predict", got="no text", expected="texts, --file, or lines on standard input")
        return _split(sys.stdin.read().splitlines())
    if pairs and len(pairs) != len(texts):
        raise ConfigError(
            "transom predict", got=f"{len(texts)} texts and {len(pairs)} pairs", expected="a --pair for each text"
        )
    return texts, pairs


def _lines(file: Path) -> list[str]:
    try:
        return file.read_bytes().decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}", got=f"a byte that is not UTF-8 at offset {error.start}", expected="UTF-8") from None
    except OSError as error:
        raise DataError(f"{file}", got=error.strerror or str(error), expected="a file with a text a line") from None


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """Texts and second texts: a tab stands between them, in every line or in none."""
    parts = [line.split("\t", 1) for line in lines]
    if parts and all(len(part) == 2 for part in parts):
        return [part[0] for part in parts], [part[1] for part in parts]
    return lines, []
