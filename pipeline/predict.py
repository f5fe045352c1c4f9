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
    from models.pushed import is_bundle, newest_version

    if not is_bundle(folder):
        newest_version(folder)  # that there is none is said before TensorFlow is loaded
    with contextlib.nullcontext() if verbose else silence():
        if is_bundle(folder):
            from tflite.runtime import EdgeClassifier

            return EdgeClassifier(folder).predict(texts, pairs or None)
        prepare()
        from models.predict import load

        return load(folder).predict(texts, pairs or None)


def _inputs(texts: list[str], pairs: list[str], file: Path | None) -> tuple[list[str], list[str]]:
    if file is not None:
        if texts or pairs:
            raise ConfigError("transom predict", got="texts and --file", expected="one of them")
        return read_texts(file)
    if not texts:
        if sys.stdin.isatty():
            raise ConfigError("transom predict", got="no text", expected="texts, --file, or lines on standard input")
        return _split(_lines(sys.stdin.buffer.read(), "standard input"))
    if pairs and len(pairs) != len(texts):
        raise ConfigError(
            "transom predict", got=f"{len(texts)} texts and {len(pairs)} pairs", expected="a --pair for each text"
        )
    return texts, pairs


def read_texts(file: Path) -> tuple[list[str], list[str]]:
    """The texts of a file, one a line, and their second texts if there is a tab in every line.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    return _split(_read(file))


def _read(file: Path) -> list[str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            str(file), got=error.strerror or str(error), expected="a file with a text a line", fix="correct --file"
        ) from None
    return _lines(content, str(file))


def _lines(content: bytes, source: str) -> list[str]:
    """The lines of a text file. Only line feeds end them: U+2028 and its like are characters of a text."""
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        # decoded without a byte order mark, the offset counts from behind it
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        raise DataError(
            f"{source}, line {content.count(10, 0, start) + 1:,}: not UTF-8",
            got=f"byte 0x{content[start]:02x} at byte {start:,}",
            expected="UTF-8",
            fix="save it as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from None
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """Texts and second texts: a tab stands between them, in every line or in none."""
    parts = [line.split("\t", 1) for line in lines]
    if parts and all(len(part) == 2 for part in parts):
        return [part[0] for part in parts], [part[1] for part in parts]
    return lines, []
