"""Loads `transom.yaml` with `--set` overrides as a typed configuration, with errors that explain."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.data.formats.files import table_ending
from models.config import EncoderConfig, PresetConfig
from models.errors import ConfigError
from pipeline import project_names
from pipeline.config import ProjectConfig
from pipeline.configuration import other_names
from pipeline.configuration.combinations import clashes
from pipeline.configuration.empty_groups import without_empty_groups
from pipeline.configuration.overrides import apply_override
from pipeline.configuration.setting_keys import Problem, as_written, keys_below
from pipeline.configuration.yaml_text import YamlError, read_yaml

# A larger file is not a configuration: most likely it is the table itself.
_LARGEST_BYTES = 2**20
# The most wrong keys that a message names.
_MOST_PROBLEMS = 10


def load(path: Path, overrides: Iterable[str] = ()) -> ProjectConfig:
    """The configuration in `path`, with overrides such as "train.epochs=3" applied in order.

    `pipeline.configuration.overrides` describes how their values are read. Relative paths stay as written:
    `pipeline.paths` resolves them against the file's folder.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or does not describe a project.
    """
    raw = _parse(path)
    for override in overrides:
        apply_override(raw, override)
    raw = without_empty_groups(raw, ProjectConfig)
    try:
        config = ProjectConfig.model_validate(raw)
    except ValidationError as error:
        raise _explain(path, raw, error) from None
    if clashing := list(clashes(config)):
        raise _as_error(path, clashing)
    return config


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        raw = read_yaml(text)
    except YamlError as error:
        raise ConfigError(
            f"configuration {path}",
            got=f"not YAML: {error}",
            expected="YAML: `key: value` lines, groups indented with spaces, each key once",
            fix="correct the line",
        ) from None
    if not isinstance(raw, dict):
        raise ConfigError(
            f"configuration {path}",
            got="nothing" if raw is None else "a list" if isinstance(raw, list) else f"the value {_shown(raw)}",
            expected="keys such as `data:` and `task:`",
            fix=f"`transom schema` prints every key; `transom init {_table(path)}` writes a file to start from",
        )
    return raw


def _text(path: Path) -> str:
    """The file's text, without the byte order mark that some editors write."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ConfigError(
                f"configuration {path}",
                got=f"over {_LARGEST_BYTES:,} bytes",
                expected="a YAML file that describes a project",
                fix=f"for a table `transom init {_table(path)}` writes the configuration",
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"configuration {path}",
            got="no such file",
            expected="a YAML file",
            fix="`transom init YOUR_TABLE` writes one",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration {path}",
            got=f"a byte that is not UTF-8 at offset {error.start}",
            expected="UTF-8 text",
            fix=f"save it as UTF-8; for a table `transom init {_table(path)}` writes the configuration",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"configuration {path}", got=error.strerror or str(error), expected="a file that can be read"
        ) from None


def _table(path: Path) -> str:
    """The table to name in a message: passing a table instead of a configuration is an easy mistake."""
    return str(path) if table_ending(path) else "YOUR_TABLE"


def _explain(path: Path, raw: dict[str, Any], error: ValidationError) -> ConfigError:
    """All problems of a configuration in one error, each with its key, its value and the expected one."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        problem = _problem(raw, detail)
        # A value that may have several types is reported once for each of them.
        problems[problem.key] = _either(problems[problem.key], problem) if problem.key in problems else problem
    # An error about a group as a whole adds nothing to the errors about its keys.
    found = [one for key, one in problems.items() if not any(other.startswith(f"{key}.") for other in problems)]
    return _as_error(path, found)


def _as_error(path: Path, found: list[Problem]) -> ConfigError:
    if len(found) == 1:
        (one,) = found
        what = f"{path}: {one.key}" + (f": {one.message}" if one.message else "")
        return ConfigError(what, got=one.got, expected=one.expected, fix=one.fix)
    lines = [f"  - {_line(problem)}" for problem in found[:_MOST_PROBLEMS]]
    if len(found) > _MOST_PROBLEMS:
        lines.append(f"  and {len(found) - _MOST_PROBLEMS:,} more")
    return ConfigError(f"{path}: {len(found):,} keys are wrong\n" + "\n".join(lines))


def _line(problem: Problem) -> str:
    got = f"got {problem.got}" if problem.got else ""
    expected = f"expected {problem.expected}" if problem.expected else ""
    return f"{problem.key}: " + "; ".join(part for part in (problem.message, got, expected, problem.fix) if part)


def _either(one: Problem, other: Problem) -> Problem:
    """Merges two problems of the same value: either expectation would do."""
    expected = one.expected if other.expected in one.expected else f"{one.expected}, or {other.expected}"
    return replace(one, expected=expected, fix=one.fix or other.fix)


def _problem(raw: dict[str, Any], detail: ErrorDetails) -> Problem:
    location = _location(detail)
    key = ".".join(location) or "the configuration"
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "extra_forbidden":
        if (model := _other_model(location, raw)) is not None:
            return Problem(key, *model)
        known = keys_below(location[:-1], raw)
        close = difflib.get_close_matches(location[-1], known, n=1)
        fix = f"did you mean `{close[0]}`?" if close else "remove it"
        if location[-1] in other_names.KEYS:
            ours = other_names.KEYS[location[-1]]
            fix = "remove it" if detail["input"] is False and ": " in ours else f"write `{ours}`"
        return Problem(key, "a key that Transom does not know", "one of " + ", ".join(known), fix)
    if kind == "missing":
        return Problem(key, "no such key", "this key", "`transom schema` describes it")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return Problem(f"{key}.type", repr((raw.get("model") or {}).get("type")), "encoder or preset")
    if kind == "value_error" and isinstance(detail["input"], dict):
        return Problem(key, message=message)
    got = "nothing" if detail["input"] is None else _shown(detail["input"])
    if kind in _GROUPS:
        fix = "put its keys below it, indented, or remove it" if detail["input"] is None else ""
        return Problem(key, got, "a group of keys", fix)
    if kind in _TEXTS:
        return Problem(key, got, "a text", _quotes(detail["input"]))
    if kind == "string_pattern_mismatch" and key == "name":
        return Problem(key, got, project_names.MEANING, f"use {project_names.name_from_text(detail['input'])}")
    if kind == "string_pattern_mismatch":
        return Problem(key, got, f"a text of the form {detail['ctx']['pattern']}")
    return Problem(key, got, _EXPECTED.get(kind, message), _meant(detail))


def _meant(detail: ErrorDetails) -> str:
    """Which of a few possible values was probably meant; "" if none, or if there are others than these."""
    if detail["type"] != "literal_error":
        return ""
    given, known = str(detail["input"]).lower(), re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    theirs, close = other_names.VALUES.get(given), difflib.get_close_matches(given, known, n=1)
    meant = theirs if theirs in known else close[0] if close else ""
    return f"did you mean {meant}?" if meant else ""


def _other_model(location: list[str], raw: dict[str, Any]) -> tuple[str, str, str] | None:
    """What was got and expected, and the fix, if a key belongs to the other kind of model than the given `type`."""
    if len(location) != 2 or location[0] != "model":
        return None
    if location[1] not in {**PresetConfig.model_fields, **EncoderConfig.model_fields}:
        return None
    other, kind = ("preset", "encoder") if location[1] in PresetConfig.model_fields else ("encoder", "preset")
    whole = "--set 'model={preset: minilm-l6}' or --set 'model={type: encoder}' replaces the whole group"
    got = f"a key of `type: {other}`, and the model's type is {kind}"
    return got, "keys of one type", f"remove it, or the keys of the other type; on the command line, {whole}"


# The kinds of pydantic's errors that get a different wording.
_GROUPS = {"model_type", "dict_type", "model_attributes_type"}
_TEXTS = {"string_type", "invalid_key"}
_EXPECTED = {
    "tuple_type": "a list",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
}


def _location(detail: ErrorDetails) -> list[str]:
    """The key's path in the file, without the branches of unions that pydantic adds."""
    location = [str(part) for part in detail["loc"]]
    if location[:1] == ["model"] and location[1:2] in (["preset"], ["encoder"]):
        location = ["model", *location[2:]]
    branches = {"str", "int", "bool", "constrained-str", "constrained-int", "[key]"}
    return [part for part in location if part not in branches and not part.startswith(_BRANCHES)]


_BRANCHES = ("tuple[", "dict[", "literal[", "constrained-", "function-")


def _shown(value: Any) -> str:
    """A value for a message; a large or deeply nested one is shortened."""
    if isinstance(value, bool):
        return as_written(value)
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    short.maxlevel, short.maxlist, short.maxdict = 2, 4, 4
    text = short.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _quotes(value: Any) -> str:
    return f'put it in quotes: "{as_written(value)}"' if isinstance(value, bool | int | float) else ""
