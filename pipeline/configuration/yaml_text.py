"""The YAML of configurations: no duplicate keys, and only `true` and `false` are booleans.

PyYAML reads YAML 1.1, in which on, off, yes and no are booleans, 12:30 is a number and 2026-01-31 a date. It would
misread `gate: {drift: off}` and the labels `[yes, no]`. YAML 1.2 and the editors that check a file against Transom's
schema have none of these.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


class YamlError(ValueError):
    """A text is not YAML as described above; the message gives the error and its position on one line."""


def read_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        YamlError: it is not YAML, a group has a key twice, or it is nested too deeply.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        raise YamlError(what + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")) from None
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0]) from None
    except RecursionError:
        raise YamlError("brackets or lists nested hundreds deep") from None
    except ValueError as error:  # a number of thousands of digits
        raise YamlError(str(error)) from None


def read_value(text: str) -> Any:
    """As `read_yaml`, but the text may not contain a comment, whose words would be lost.

    Raises:
        YamlError: see `read_yaml`, or there is a comment.
    """
    read = read_yaml(text)
    end = 0
    for token in yaml.scan(text):
        if not isinstance(token, yaml.StreamEndToken | yaml.BlockEndToken):
            end = max(end, token.end_mark.index)
    rest = text[end:].strip()
    if rest:
        raise YamlError(f"{rest[:50]!r} would be read as a comment and lost")
    return read


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key:
                raise yaml.constructor.ConstructorError(
                    f"the key {key.value!r} of line {first.start_mark.line + 1}",
                    node.start_mark,
                    "is repeated",
                    key.start_mark,
                )
        return dict(super().construct_mapping(node, deep))


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """SafeLoader's resolvers, without dates, base-60 numbers, and booleans such as yes and off."""
    left_out = {f"tag:yaml.org,2002:{name}" for name in ("bool", "timestamp", "int")}
    kept = {
        first: [(tag, pattern) for tag, pattern in found if tag not in left_out]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    boolean = ("tag:yaml.org,2002:bool", re.compile("(true|True|TRUE|false|False|FALSE)$"))
    whole = ("tag:yaml.org,2002:int", re.compile("[-+]?(0|[1-9][0-9_]*)$"))
    for letter in "tTfF":
        kept[letter] = [boolean, *kept.get(letter, [])]
    for letter in "-+0123456789":
        kept[letter] = [whole, *kept.get(letter, [])]
    return kept


_Loader.yaml_implicit_resolvers = _resolvers()
