"""Finding and opening the files that a configuration names. Imports no TensorFlow.

A pattern is a file's path, a glob, or a path with TFX's span specs (`{SPAN}`, `{SPAN:3}`, `{YYYY}`, `{MM}`, `{DD}`,
`{VERSION}`), which matches the newest span. Relative paths are relative to the configuration file's folder.
"""

from __future__ import annotations

import contextlib
import difflib
import glob
import gzip
import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from components.config import Files
from models.errors import DataError, os_errors_as

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_UNPACK = "unpack it and name the file in it (only gzip is read directly)"
_EXPORT = "save it as CSV (UTF-8) in the program that made it"
# Fixes for other kinds of files that people try.
_FIXES_BY_ENDING = {
    **dict.fromkeys((".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".rar"), _UNPACK),
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".doc", ".docx"), _EXPORT),
    **dict.fromkeys((".arrow", ".feather", ".orc", ".avro", ".h5", ".pkl", ".pickle"), "write it as Parquet"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "export the table as CSV"),
}
_SPEC = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")


def patterns_of(files: Files | None) -> tuple[str, ...]:
    """The patterns of a configuration key, one or several, as a tuple."""
    if files is None:
        return ()
    return (files,) if isinstance(files, str) else tuple(files)


def find_files(files: Files | None, base: Path, key: str = "data") -> list[Path]:
    """The files that `files` names, each once: patterns in the order given, a glob's files sorted.

    Args:
        key: the configuration key, for messages.

    Raises:
        DataError: a pattern that matches nothing, or a folder.
    """
    found = [path for pattern in patterns_of(files) for path in _matches(pattern, base, key)]
    return list({os.path.realpath(path): path for path in found}.values())


def _matches(pattern: str, base: Path, key: str) -> list[Path]:
    if _SPEC.search(pattern):
        pattern = newest_span(pattern, base, key)
    pattern = _at_home(pattern, base)
    path = base / pattern
    fix = "correct the path, or the permissions of the folders in it"
    with (
        os_errors_as(DataError, f"{key}: {pattern[:200]} cannot be read", expected="files that can be read", fix=fix),
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
    ):  # it may be a glob
        path.stat()
    if path.is_dir():
        raise DataError(
            f"{key}: {path} is a folder",
            got=_list_files(path),
            expected="files",
            fix=f"name the files in it, for example {pattern.rstrip('/')}/*{_usual_ending(path)}",
        )
    if path.exists():
        return [path]
    matches = [base / name for name in sorted(_glob(pattern, base)) if (base / name).is_file()]
    if not matches and (other := _same_name_in_other_unicode_form(path)) is not None:
        return [other]
    if not matches:
        raise _no_match(pattern, path, key)
    return matches


def _same_name_in_other_unicode_form(path: Path) -> Path | None:
    """The file whose name looks the same: "é" may be one character or two, and file systems differ."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if (found / part).exists():
            found /= part
            continue
        wanted = unicodedata.normalize("NFC", part)
        names = os.listdir(found) if found.is_dir() and not wanted.isascii() else []
        same = [name for name in names if unicodedata.normalize("NFC", name) == wanted]
        if not same:
            return None
        found /= same[0]
    return found if found.is_file() else None


def _at_home(pattern: str, base: Path) -> str:
    """A path that begins with ~ as shells read it, unless there is a folder with that name."""
    if not pattern.startswith("~") or (base / pattern.split("/")[0]).exists():
        return pattern
    return os.path.expanduser(pattern)


def _glob(pattern: str, base: Path) -> list[str]:
    """The matches of a pattern. Names of existing folders are not patterns: "data [v2]/*.csv"."""
    parts: list[str] = []
    folder: Path | None = base
    *above, last = Path(pattern).parts
    for part in above:
        folder = folder / part if folder is not None and (folder / part).is_dir() else None
        parts.append(glob.escape(part) if folder is not None else part)
    return glob.glob(os.path.join(*parts, last), root_dir=base, recursive=True)


def _list_files(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "_")))
    return abbreviate(names, 5) if names else "an empty folder"


def _usual_ending(folder: Path) -> str:
    """The ending of most of the tables in a folder."""
    endings = Counter(ending for entry in folder.iterdir() if (ending := table_ending(entry)))
    return endings.most_common(1)[0][0] if endings else ".csv"


def _no_match(pattern: str, path: Path, key: str) -> DataError:
    folder = path.parent
    if "://" in pattern:
        got = "an address"
    elif not folder.is_dir():
        got = f"there is no folder {folder}" if not glob.has_magic(str(folder)) else "no folder matches"
    else:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5) or names[:5]
        got = f"{folder} holds {', '.join(near)}" if near else f"{folder} is empty"
    return DataError(
        f"{key}: no file matches {pattern}",
        got=got,
        expected="a file on this machine, a list of files, or a glob",
        fix=f"correct {key}; a relative path is relative to the folder of the configuration file",
    )


def newest_span(pattern: str, base: Path, key: str = "data") -> str:
    """The pattern with its span specs filled in: the largest span, and its largest version.

    The result is that of TFX, but without loading TFX and below folders with any names.

    Raises:
        DataError: no path matches the pattern.
    """
    values = newest_values(pattern, base, key)
    return _SPEC.sub(lambda spec: values[spec.group(1)], pattern)


def newest_values(pattern: str, base: Path, key: str = "data") -> Mapping[str, str]:
    """The values of the pattern's span specs ("SPAN", "YYYY", "VERSION" and so on) in the newest path.

    Raises:
        DataError: no path matches the pattern.
    """
    whole = os.path.normpath(_at_home(pattern, base))
    regex = re.compile(_span_regex(whole))
    best: tuple[tuple[int, ...], Mapping[str, str]] | None = None
    for name in _glob(_SPEC.sub("*", whole), base):
        match = regex.fullmatch(name)
        if match is None:
            continue
        values = match.groupdict()
        order = tuple(int(values[spec]) for spec in ("SPAN", "YYYY", "MM", "DD", "VERSION") if spec in values)
        if best is None or order > best[0]:
            best = (order, values)
    if best is None:
        raise DataError(
            f"{key}: no span matches {pattern}",
            got=f"no matching path below {base}",
            expected="a path with a number where the pattern has {SPAN} (or {YYYY}, {MM}, {DD}, {VERSION})",
            fix=f"correct {key}, or create the first span",
        )
    return best[1]


def _span_regex(pattern: str) -> str:
    parts, end = [], 0
    for spec in _SPEC.finditer(pattern):
        width = spec.group(2) or {"YYYY": "4", "MM": "2", "DD": "2"}.get(spec.group(1))
        parts.append(_glob_regex(pattern[end : spec.start()]))
        parts.append(rf"(?P<{spec.group(1)}>\d{{{width}}})" if width else rf"(?P<{spec.group(1)}>\d+)")
        end = spec.end()
    return "".join(parts) + _glob_regex(pattern[end:])


def _glob_regex(text: str) -> str:
    return "".join({"*": r"[^/]*", "?": r"[^/]"}.get(letter, re.escape(letter)) for letter in text)


def format_of(path: Path, configured: str = "auto") -> str:
    """`csv`, `tsv`, `jsonl`, `parquet` or `tfrecord`: as configured, else by the file's ending.

    Raises:
        DataError: the ending is unknown.
    """
    if configured != "auto":
        return configured
    ending, _ = _endings(path)
    if ending not in FORMATS:
        raise DataError(
            f"{path}: the file's ending does not tell its format",
            got=path.name,
            expected=f"one of {', '.join(FORMATS)}, for the text formats also with .gz",
            fix=_FIXES_BY_ENDING.get(ending, "give it such a name, or set data.format"),
        )
    return FORMATS[ending]


def table_ending(path: Path) -> str:
    """The ending of a table's file name (including .gz, if it has that); empty for other files."""
    ending, packed = _endings(path)
    return ending + packed if ending in FORMATS else ""


def _endings(path: Path) -> tuple[str, str]:
    """The ending of a file's name before .gz, and .gz or ""; in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes[-1:] == [".gz"] else ""
    return suffixes[-1] if suffixes else "", packed


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file for reading, decompressed if its name ends in .gz.

    Raises:
        DataError: a missing or empty file, a folder, no permission.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder", got=_list_files(path), expected="a file", fix="name the files in it")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", got="0 bytes", expected="a table with at least a header and a row")
        raw = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", fix="correct the path") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read", got=error.strerror or str(error), fix="correct its permissions"
        ) from None
    if path.suffix.lower() != ".gz":
        return raw
    return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), buffer_size=1 << 16))


def contents_digest(paths: Iterable[Path]) -> str:
    """A digest of the files' names and contents, which decides whether they must be read again.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
        with os_errors_as(DataError, f"{path} cannot be read"), path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


def abbreviate(names: Sequence[object], limit: int = 5) -> str:
    """The first few of a list, for a message: "a, b, c and 17 more"."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"
