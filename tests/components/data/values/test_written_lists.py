"""Lists that programs have written as text, and text that only looks like a list."""

from __future__ import annotations

import pytest

from components.data.values.written_lists import describe_non_label, is_vector, parse_bare_list, parse_list


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("frozenset({'red', 'sky blue'})", ["red", "sky blue"]),
        ("frozenset()", []),
        ("array(['red', 'sky blue'], dtype=object)", ["red", "sky blue"]),
        ("array([], dtype=object)", []),
        ('c("red", "sky blue")', ["red", "sky blue"]),
        ('"[\\"red\\", \\"sky blue\\"]"', ["red", "sky blue"]),
        ('{"choices":["red","sky blue"]}', ["red", "sky blue"]),
        ("[“red”, “sky blue”]", ["red", "sky blue"]),
        ("['red'\n 'sky blue']", ["red", "sky blue"]),
    ],
)
def test_lists_as_programs_write_them(text: str, items: list[str]) -> None:
    assert parse_list(text) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('{red,"sky blue"}', ["red", "sky blue"]),
        ('{"a \\\\"b\\\\"",NULL}'.replace("\\\\", "\\"), ['a "b"']),
        ("[it's, sky blue]", ["it's", "sky blue"]),
        ('{"a": 1}', None),
        ("[[a], [b]]", None),
    ],
)
def test_lists_without_quotes(text: str, items: list[str] | None) -> None:
    assert parse_bare_list(text) == items


@pytest.mark.parametrize("text", ["[urgent", "(1)", "c: yes", "set aside", '"[sic] he said"', "{name}"])
def test_names_that_only_look_like_lists(text: str) -> None:
    assert parse_list(text) is None
    assert describe_non_label(text) == ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"red": 1}', "an object"),
        ("{'red': True}", "an object"),
        ("[['red'], []]", "a list of lists or objects"),
        ('[{"value": "red"}]', "a list of lists or objects"),
    ],
)
def test_sources_of_values_that_are_not_labels(text: str, what: str) -> None:
    assert parse_list(text) is None
    assert describe_non_label(text) == what


def test_vectors_are_not_lists_of_names() -> None:
    assert all(map(is_vector, ([0, 1, 0], [0.0, 1.0, 0.0], [True, False, True], [0.25, 0.25])))
    assert not any(map(is_vector, ([], [0], [0, 1], [3, 3, 7], ["0", "0"])))
