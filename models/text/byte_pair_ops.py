"""Byte-level byte-pair encoding as graph operations: GPT-2's tokenizer, which RoBERTa adopted.

Vocabulary, merges and Unicode's classes are constants; there are no lookup tables, assets or resources, and every
operation is TensorFlow's own. The ids are those of GPT-2's `encoder.py`
(https://github.com/openai/gpt-2/blob/master/src/encoder.py) and of Hugging Face's `tokenizers`:

1. Text is split into words by GPT-2's pattern, `WORDS`. TensorFlow's RE2 lacks its look-ahead. But word starts depend
   only on neighbouring characters, so they can be computed for all characters at once.
2. Each word is a row of bytes. In every round, each word joins all occurrences of its pair of lowest rank.

Words longer than `MAX_BYTE_PAIR_BYTES` are split, which limits the number of rounds. Letters are those of Python's
Unicode tables: the 9,392 letters and digits added after Unicode 14 count as punctuation, as they did when RoBERTa was
trained.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import tensorflow as tf

from tflite.host.text_rules import MAX_BYTE_PAIR_BYTES, byte_characters, is_white_space
from tflite.host.tokenizer import Tokenizer

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's pattern; `_word_starts` computes its matches."""
_OTHER, _LETTER, _NUMBER, _SPACE = range(4)
_PAGE = 256
# Bytes that can affect the prefix before them: three characters of look-ahead, and one that a split word may take.
_LOOK_AHEAD_BYTES = 16
_MERGED = -1


def longest_prefix_bytes(tokenizer: Tokenizer) -> int:
    """Bytes at the beginning of a text that decide its first `max_length` tokens."""
    longest = max((len(left) + len(right) for left, right in tokenizer.merges), default=1)
    return tokenizer.max_length * longest + MAX_BYTE_PAIR_BYTES + _LOOK_AHEAD_BYTES


def make_encoder(tokenizer: Tokenizer) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    """Builds the constants in the current graph.

    Args:
        tokenizer: of family `byte_pair`. A byte that its vocabulary lacks becomes its unknown token.

    Returns:
        A function from valid UTF-8 [B] string to token ids [B, (L)] int32, without special tokens: `<s>` within a text
        is three characters, as in GPT-2's `encoder.py`.
    """
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    merges = {name: tf.constant(table) for name, table in _merge_tables(tokenizer, ids).items()}
    classes = {name: tf.constant(table) for name, table in _class_tables().items()}

    def encode(text: tf.Tensor) -> tf.RaggedTensor:
        joined = tf.strings.reduce_join(text)
        values = tf.cast(tf.io.decode_raw(joined, tf.uint8), tf.int32)
        words = _words(text, joined, values, classes)
        tokens = _merge(values, words, merges)
        kept = tokens != _MERGED
        counts = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int64))], 0)
        splits = tf.concat([[0], tf.cumsum(tf.strings.length(text))], 0)
        return tf.RaggedTensor.from_row_splits(tokens[kept], tf.gather(counts, splits), validate=False)

    return encode


def _merge_tables(tokenizer: Tokenizer, ids: Mapping[str, int]) -> dict[str, np.ndarray]:
    """`keys` [M + 1] int64 (left id * `size` + right id, ascending, and an end) and their `ranks` [M + 1] int32; by
    rank, `products` [M] int32; `none`, the rank of pairs that do not merge. For bytes: their ids `bytes` [256] int32,
    and the ranks of two of them, `byte_ranks` [65536] int32, which save most of the searches."""
    pairs = np.array([[ids[left], ids[right]] for left, right in tokenizer.merges], np.int64).reshape(-1, 2)
    keys = pairs[:, 0] * len(ids) + pairs[:, 1]
    # If a pair is listed twice, the later rank counts, as in GPT-2's dictionary.
    keys, last = np.unique(keys[::-1], return_index=True)
    byte_ids = np.array([ids.get(name, tokenizer.unknown_id) for name in byte_characters()], np.int32)
    rank_of = {pair: rank for rank, pair in enumerate(map(tuple, pairs.tolist()))}
    byte_ranks = [rank_of.get((left, right), len(pairs)) for left in byte_ids.tolist() for right in byte_ids.tolist()]
    return {
        "bytes": byte_ids,
        "byte_ranks": np.array(byte_ranks, np.int32),
        "keys": np.append(keys, np.iinfo(np.int64).max),
        "ranks": np.append(len(pairs) - 1 - last, len(pairs)).astype(np.int32),
        "products": np.array([ids[left + right] for left, right in tokenizer.merges] or [0], np.int32),
        "none": np.array(len(pairs), np.int32),
        "size": np.array(len(ids), np.int64),
    }


@cache
def _class_tables() -> dict[str, np.ndarray]:
    """The class of a code point c: `classes[pages[c // 256] * 256 + c % 256]`, int32 both."""
    by_category = {"L": _LETTER, "N": _NUMBER}
    points = map(chr, range(sys.maxunicode + 1))
    flat = np.array([by_category.get(unicodedata.category(point)[0], _OTHER) for point in points], np.int32)
    flat[[point for point in range(0x3001) if is_white_space(point)]] = _SPACE
    classes, pages = np.unique(flat.reshape(-1, _PAGE), axis=0, return_inverse=True)
    return {"pages": pages.reshape(-1).astype(np.int32), "classes": classes.reshape(-1)}


def _before(values: tf.Tensor, first: object, count: int = 1) -> tf.Tensor:
    """Each value's predecessor (`count` positions before), [N]; `first` if there is none."""
    return tf.concat([tf.fill([count], tf.cast(first, values.dtype)), values], 0)[: tf.size(values)]


def _after(values: tf.Tensor, last: object, count: int = 1) -> tf.Tensor:
    """Each value's successor (`count` positions after), [N]; `last` if there is none."""
    return tf.concat([values, tf.fill([count], tf.cast(last, values.dtype))], 0)[count:]


def _words(text: tf.Tensor, joined: tf.Tensor, values: tf.Tensor, classes: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The number of each byte's word, [T] int32, over all texts.

    Args:
        text: [B] string.
        joined: all texts as one string.
        values: its bytes, [T] int32.
        classes: see `_class_tables`.
    """
    points = tf.strings.unicode_decode(joined, "UTF-8")
    leads = tf.bitwise.bitwise_and(values, 0xC0) != 0x80
    positions = tf.cast(tf.where(leads)[:, 0], tf.int32)
    rows = tf.repeat(tf.range(tf.size(text)), tf.strings.length(text, unit="UTF8_CHAR"))
    starts = _word_starts(points, _before(rows, -1) != rows, classes)
    begin = tf.gather(positions[starts], tf.cumsum(tf.cast(starts, tf.int32)) - 1)
    part = (positions - begin) // MAX_BYTE_PAIR_BYTES
    starts |= part != _before(part, 0)
    number = tf.cumsum(tf.cast(starts, tf.int32)) - 1
    return tf.gather(number, tf.cumsum(tf.cast(leads, tf.int32)) - 1)


def _word_starts(points: tf.Tensor, first: tf.Tensor, classes: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Where `WORDS` starts a match.

    Args:
        points: code points of all texts, [N] int32.
        first: whether a character is its text's first, [N] bool.

    Returns:
        [N] bool.
    """
    kind = tf.gather(classes["classes"], tf.gather(classes["pages"], points // _PAGE) * _PAGE + points % _PAGE)
    before, space_before = _before(kind, _OTHER), _before(points, 0) == ord(" ")
    last = _after(first, True)
    is_space, was_space = kind == _SPACE, before == _SPACE
    # Spaces stay together, but the last one before another character is a word or, if it is " ", joins that character.
    of_space = is_space & (~was_space | (~last & (_after(kind, _OTHER) != _SPACE)))
    of_other = ~is_space & (kind != before) & ~space_before
    # An apostrophe that belongs to the match of a preceding space or sign begins no contraction.
    apostrophe = (points == ord("'")) & (first | ((before != _OTHER) & ~space_before)) & ~last
    two, three = _contractions(apostrophe, points, last)
    within = _before(two | three, False)
    return first | (~within & (of_space | of_other)) | _before(two, False, 2) | _before(three, False, 3)


def _contractions(apostrophe: tf.Tensor, points: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which apostrophes [N] bool begin 's, 't, 'm or 'd, and which 're, 've or 'll."""
    following, second = _after(points, 0), _after(points, 0, 2)

    def one_of(letters: str) -> tf.Tensor:
        return tf.reduce_any(following[:, tf.newaxis] == [ord(letter) for letter in letters], axis=1)

    pair = (one_of("rv") & (second == ord("e"))) | (one_of("l") & (second == ord("l")))
    return apostrophe & one_of("stmd"), apostrophe & pair & ~_after(last, True)


def _merge(values: tf.Tensor, words: tf.Tensor, merges: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Joins pairs within words until no merge applies.

    Args:
        values: bytes, [T] int32.
        words: the number of each byte's word, [T] int32, ascending.
        merges: see `_merge_tables`.

    Returns:
        [T] int32: a token's id at its first byte, `_MERGED` at its others.
    """
    none = merges["none"]

    def step(
        tokens: tf.Tensor, position: tf.Tensor, ids: tf.Tensor, word: tf.Tensor, rank: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        lowest = tf.gather(tf.math.segment_min(rank, word), word)
        joins = _every_second((rank == lowest) & (rank < none))
        ids = tf.where(joins, tf.gather(merges["products"], tf.minimum(rank, none - 1)), ids)
        gone = _before(joins, False)
        changed = tf.where(joins | gone)
        tokens = tf.tensor_scatter_nd_update(
            tokens, tf.gather(position, changed), tf.gather(tf.where(gone, _MERGED, ids), changed[:, 0])
        )
        # Finished words leave the loop.
        kept = tf.where(~gone & (lowest < none))[:, 0]
        position, ids, word = (tf.gather(each, kept) for each in (position, ids, word))
        return tokens, position, ids, word, _ranks(ids, word, merges)

    free = tf.TensorShape([None])
    ids = tf.gather(merges["bytes"], values)
    ranks = tf.gather(merges["byte_ranks"], values * 256 + _after(values, 0))
    ranks = tf.where(words == _after(words, -1), ranks, none)
    start = (ids, tf.range(tf.size(ids)), ids, words, ranks)
    return tf.while_loop(
        lambda tokens, position, ids, word, rank: tf.reduce_any(rank < none),
        step,
        start,
        shape_invariants=(free,) * len(start),
    )[0]


def _ranks(ids: tf.Tensor, words: tf.Tensor, merges: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The rank of each token with its successor, [N] int32; the number of merges if they do not merge."""
    pairs = tf.cast(ids, tf.int64) * merges["size"] + tf.cast(_after(ids, 0), tf.int64)
    index = tf.searchsorted(merges["keys"], pairs)
    known = (tf.gather(merges["keys"], index) == pairs) & (words == _after(words, -1))
    return tf.where(known, tf.gather(merges["ranks"], index), merges["none"])


def _every_second(marks: tf.Tensor) -> tf.Tensor:
    """The first, third, fifth, … of each run of True in [N] bool: "aaaa" has "aa" twice, "aaa" once."""
    count = tf.cumsum(tf.cast(marks, tf.int32))
    begins = marks & ~_before(marks, False)
    run = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    begin = tf.gather(count[begins], tf.maximum(run, 0))
    return marks & ((count - begin) % 2 == 0)
