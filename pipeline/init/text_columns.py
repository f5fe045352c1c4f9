"""Which columns of an undescribed table hold the text, or the two texts of a pair."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from components.data.column_names import TEXT_NAMES
from components.data.formats.files import abbreviate
from models.errors import DataError
from pipeline.init import refusals
from pipeline.init.column_facts import ColumnFacts
from pipeline.init.table_words import percent

_PAIRS = (
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("question", "answer"),
    ("q", "a"),
    ("query", "document"),
    ("query", "doc"),
    ("query", "passage"),
    ("query", "title"),
    ("query", "product_title"),
    ("query", "response"),
    ("question", "response"),
    ("context", "response"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("parent", "reply"),
    ("post", "reply"),
    ("comment", "reply"),
    ("tweet", "reply"),
    ("headline", "articlebody"),
    ("headline", "article_body"),
    ("text", "text_pair"),
    ("anchor", "candidate"),
    ("source", "target"),
    ("src", "tgt"),
    ("claim", "evidence"),
    ("original", "paraphrase"),
    ("reference", "candidate"),
    ("left", "right"),
)
# Two words that tell the columns of a pair apart: text_a and text_b, sentence1 and sentence2, firstText and secondText.
_TWINS = (("1", "2"), ("a", "b"), ("left", "right"), ("first", "second"), ("x", "y"), ("one", "two"), ("i", "ii"))
# Columns of these names are only numbered.
_NUMBERED = {"c", "col", "column", "f", "field", "v", "var", "x", "attr", "feature", "unnamed", "", "spalte"}
# What the second column has after the first one's name: text and text2.
_SECOND = ("2", "_2", "b", "_b")
# Names of the only text, whatever lies beside it: a title, an explanation, the same text in lower case.
ALONE = {
    "text",
    "review",
    "content",
    "body",
    "comment",
    "message",
    "tweet",
    "utterance",
    "post",
    "article",
    "document",
}
ALONE |= {"description", "abstract", "sms", "email", "mail"}
# Rows that are compared, and how much more two texts of a row must share than texts of different rows.
_COMPARED, _LIFT, _TIMES = 200, 0.04, 1.5
# A text is at least this many times as long as names of what occurs in it.
_MAIN = 2.5
# The most columns of texts of which all pairs are compared.
_MOST_TEXTS = 8
# Two texts of a pair are at most this many times as long as the other, on average.
_LONGER = 12.0

Rows = Sequence[Mapping[str, str]]


def find_texts(path: Path, columns: Sequence[ColumnFacts], sample: Rows) -> tuple[str, str | None, str]:
    """The names of the text's column and of the second text's (None for single texts), and the reason.

    Args:
        sample: rows of the table as text, to compare the texts of a row.

    Raises:
        DataError: no column looks like text, or the one that is named like it holds something else.
    """
    texts = [column for column in columns if column.textual]
    # a column that is named like text is text, even if it is short
    named = [column for column in columns if column.name.lower() in TEXT_NAMES and column.rows and not column.numbers]
    candidates = list({column.name: column for column in (*texts, *named)}.values())
    pair = _named_pair(columns, candidates)
    if pair is not None:
        _check_texts(path, pair)
        return pair[0].name, pair[1].name, "chosen because its name and that of `text_pair` belong together"
    if not candidates:
        # of pairs, both texts may recur; whether they are pairs, the labels must show
        candidates = [column for column in columns if column.recurring_sentences]
        if len(candidates) != 2:
            raise no_text(path, columns)
    alone = next((column for name in TEXT_NAMES for column in candidates if column.name.lower() == name), None)
    if alone is None or alone.name.lower() not in ALONE:
        similar = _similar_pair(candidates, sample)
        if similar is not None:
            first, second, shared, chance = similar
            _check_texts(path, (first, second))
            return (
                first.name,
                second.name,
                f"chosen with `text_pair`: two texts of one row share {percent(shared)} of their words, of "
                f"other rows {percent(chance)}",
            )
    if alone is not None:
        _check_texts(path, [alone])
        return alone.name, None, "chosen by its name and content"
    longest = max(candidates, key=lambda column: (column.sentences, column.mean_length))
    return longest.name, None, f"the longest texts, {longest.mean_length:.0f} characters on average"


def other_texts(columns: Sequence[ColumnFacts], used: Sequence[str | None]) -> list[str]:
    """Columns of mostly different texts beside those that were chosen."""
    return [column.name for column in columns if column.sentences and column.repeats < 2 and column.name not in used]


def no_text(path: Path, columns: Sequence[ColumnFacts]) -> DataError:
    """The error that no column looks like text."""
    _check_texts(path, [column for column in columns if column.name.lower() in TEXT_NAMES and column.rows])
    described = abbreviate(
        [f"{column.name!r} ({column.non_text or f'mean length {column.mean_length:.0f}'})" for column in columns], 10
    )
    return DataError(
        f"{path}: no column looks like text",
        got=described,
        expected="a column of sentences",
        fix="put the text into its own column, the words of a list joined by spaces"
        if any(column.non_text in ("a list", "an object") for column in columns)
        else "write transom.yaml by hand; `transom schema` prints its keys",
    )


def _check_texts(path: Path, columns: Sequence[ColumnFacts]) -> None:
    for column in columns:
        refusals.check_text(path, column.name, column.non_text, column.non_text_row)


def _named_pair(
    columns: Sequence[ColumnFacts], candidates: Sequence[ColumnFacts]
) -> tuple[ColumnFacts, ColumnFacts] | None:
    """Two columns whose names belong together. One of them may hold short texts, such as answers, or both, words."""
    known = {column.name for column in candidates}
    could_be = {
        column.name.lower(): column
        for column in columns
        if (column.name in known or _various(column)) and (column.sentences or not column.textual)
    }
    for first, second in (*_PAIRS, *_twins(could_be)):
        if first in could_be and second in could_be:
            pair = could_be[first], could_be[second]
            if not any(_is_main_text(column, pair) for column in columns):
                return pair
    return None


def _is_main_text(column: ColumnFacts, pair: tuple[ColumnFacts, ColumnFacts]) -> bool:
    """Whether this is the text, and the pair only something about it, such as the names of two entities in it.

    "sentence1_parse" beside "sentence1" is not.
    """
    derived = any(column.name.startswith(one.name) for one in pair)
    return column.sentences and not derived and column.mean_length > _MAIN * max(one.mean_length for one in pair)


def _various(column: ColumnFacts) -> bool:
    """Whether a column holds many different values that are neither numbers nor lists: words, names, short answers."""
    kind = not column.numbers and not column.listed and not column.non_text
    return kind and len(column.distinct) > 10 and column.repeats < 3


def _twins(names: Mapping[str, ColumnFacts]) -> list[tuple[str, str]]:
    """Names that differ only in one part: text_a and text_b, sentence1 and sentence2, "#1 String" and "#2 String"."""
    return sorted(_all_twins(names), key=lambda pair: len(pair[0]))


def _all_twins(names: Mapping[str, ColumnFacts]) -> Iterator[tuple[str, str]]:
    for name in names:
        yield from ((name, name + end) for end in _SECOND)
        parts = re.split(r"(\d+|[\W_]+)", name)
        if re.sub(r"[\W\d_]+", "", name) in _NUMBERED:
            continue
        for one, other in _TWINS:
            yield from (
                (name, "".join([*parts[:index], other, *parts[index + 1 :]]))
                for index, part in enumerate(parts)
                if part == one and len(name) > len(one)
            )
            if len(one) > 3 or (one == "a" and len(name) > 3):  # "textLeft", "firsttext", "sentencea"
                if name.endswith(one):
                    yield name, name.removesuffix(one) + other
                if name.startswith(one) and one != "a":
                    yield name, other + name.removeprefix(one)


def _similar_pair(
    candidates: Sequence[ColumnFacts], sample: Rows
) -> tuple[ColumnFacts, ColumnFacts, float, float] | None:
    """The two columns of texts whose texts in the same row are most alike, and what they share: in a row, by chance."""
    texts = [column for column in candidates if column.sentences][:_MOST_TEXTS]
    words = {column.name: [text_words(row.get(column.name, "")) for row in sample[:_COMPARED]] for column in texts}
    best = None
    for first, second in combinations(texts, 2):
        longer, shorter = sorted((first.mean_length, second.mean_length), reverse=True)
        left, right = words[first.name], words[second.name]
        if longer > _LONGER * max(1.0, shorter) or any(_is_main_text(column, (first, second)) for column in texts):
            continue
        if len(left) < 2 or _mostly_same(left, right):
            continue
        shared, chance = _shared(left, right), _shared(left, [*right[1:], right[0]])
        lift = shared - chance
        if lift > _LIFT and shared > _TIMES * chance and (best is None or lift > best[2] - best[3]):
            best = first, second, shared, chance
    return best


def text_words(text: str) -> tuple[str, ...]:
    """A text's words; of scripts without spaces, its pairs of characters."""
    found: list[str] = []
    for word in re.findall(r"[^\W_]+", text.casefold()):
        wide = not word.isascii() and bool(re.search(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]", word))
        found += [word[at : at + 2] for at in range(len(word) - 1)] if wide else [word]
    return tuple(found)


def _shared(left: Sequence[tuple[str, ...]], right: Sequence[tuple[str, ...]]) -> float:
    """The mean share of the shorter text's words that the other one has, too."""
    both = [(set(one), set(other)) for one, other in zip(left, right, strict=True) if one and other]
    return fmean(len(one & other) / min(len(one), len(other)) for one, other in both) if both else 0.0


def _mostly_same(left: Sequence[tuple[str, ...]], right: Sequence[tuple[str, ...]]) -> bool:
    """Whether one column is the other in another form: cleaned, shortened, or without some words."""
    both = [sorted((one, other), key=len) for one, other in zip(left, right, strict=True) if one and other]
    return sum(_in_order(shorter, iter(longer)) for shorter, longer in both) > len(both) / 2


def _in_order(words: Sequence[str], longer: Iterator[str]) -> bool:
    return all(word in longer for word in words)  # `in` continues after the last word found
