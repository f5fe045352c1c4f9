"""Learns a WordPiece vocabulary from the words of the training text.

Words are counted after the normalization and splitting of `preprocessing.py`. The pieces are the merges of byte-pair
encoding (Sennrich et al. 2016) over characters, learned by SentencePiece: it reads words with their counts, is
deterministic, and takes 3 s for 120,000 distinct words. (Of the alternatives, `tokenizers` gives different results from
run to run, and tensorflow_text's learner is pure Python and far slower.)
"""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import islice

import sentencepiece
import tensorflow as tf

from models.config import TokenizerConfig
from models.errors import DataError
from models.text.preprocessing import split_words
from tflite.host.text_rules import MAX_WORDPIECE_BYTES
from tflite.host.tokenizer import CONTINUATION, Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# SentencePiece's mark of the beginning of a word, and another character that it reserves.
_BEGIN, _RESERVED = "\u2581", "\u2581\u2585"
_META_PIECES = 3  # <unk>, <s>, </s>
_MIN_COUNT, _WORDS_PER_COUNT = 5, 10_000
# The number of words that are normalized at once.
_BATCH_WORDS = 65_536


def count_words(texts: Iterable[str | bytes], config: TokenizerConfig) -> Counter[str]:
    """Counts the words of some texts.

    Args:
        config: `lowercase`, `strip_accents` and `mediapipe_compatible` are used.

    Returns:
        Word to count; the counts of several batches add up.
    """
    return normalize_counts(count_unnormalized(texts, config), config)


def count_unnormalized(texts: Iterable[str | bytes], config: TokenizerConfig) -> Counter[bytes]:
    """Counts what stands between spaces, for `normalize_counts`; the counts of several batches add up.

    A space always ends a word, and nothing is normalized across it, so what recurs is normalized only once.
    """
    found: Iterable[bytes] = map(tf.compat.as_bytes, texts)
    if config.mediapipe_compatible:  # a text ends at its first NUL
        found = (text.partition(b"\0")[0] for text in found)
    return Counter(filter(None, b" ".join(found).split(b" ")))


def normalize_counts(counts: Mapping[bytes, int], config: TokenizerConfig) -> Counter[str]:
    """The counts of the words that the tokenizer sees, from those of `count_unnormalized`."""
    normalized: Counter[str] = Counter()
    split = _splitter(config.lowercase, config.strip_accents, config.mediapipe_compatible)
    items = iter(counts.items())
    while batch := list(islice(items, _BATCH_WORDS)):
        words, places = split(tf.constant([word for word, _ in batch]))
        for word, place in zip(words.numpy().tolist(), places.numpy().tolist(), strict=True):
            normalized[word.decode("utf-8")] += batch[place][1]
    return normalized


def learn_wordpiece(counts: Mapping[str, int], config: TokenizerConfig) -> Tokenizer:
    """Learns a vocabulary: the special tokens, the characters, then pieces of several characters.

    Characters come first, so that no word of the training text is unknown; only if there are more of them than
    `config.vocabulary_size` allows are the rarest left out. A piece that occurs fewer than five times is not worth a
    row of the embedding table: an encoder cannot learn its meaning. Of a short training text (under 50,000 words, about
    4,000 questions) rarer pieces are kept too, because there the linear model beside the encoder knows more, and
    whole words tell it more than their pieces do. Words that are too long for the tokenizer are ignored.

    Args:
        counts: words of the training text from `count_words`, in any order.
        config: size, options and `max_length`.

    Returns:
        A tokenizer of at most `config.vocabulary_size` tokens; always the same for the same counts.

    Raises:
        DataError: there are no words.
    """
    words = {w: n for w, n in sorted(counts.items()) if n > 0 and len(w.encode("utf-8")) <= MAX_WORDPIECE_BYTES}
    if not words:
        raise DataError(
            "the vocabulary cannot be learned",
            got="no words in the training split",
            expected="texts with letters, digits or punctuation",
            fix="check the column named by task.text",
        )
    room = config.vocabulary_size - len(SPECIAL_TOKENS)
    characters = _characters(words)[:room]
    pieces = _pieces(words, set(characters), room - len(characters))
    vocabulary = (*SPECIAL_TOKENS, *characters, *pieces)
    pad, unknown, start, end, _ = range(len(SPECIAL_TOKENS))
    return Tokenizer(
        family="wordpiece",
        start_id=start,
        end_id=end,
        pad_id=pad,
        unknown_id=unknown,
        vocabulary_size=len(vocabulary),
        vocabulary=vocabulary,
        lowercase=config.lowercase,
        strip_accents=config.strip_accents,
        mediapipe_compatible=config.mediapipe_compatible,
        max_length=config.max_length,
    )


@cache
def _splitter(
    lowercase: bool, strip_accents: bool, mediapipe_compatible: bool
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function from texts [B] string to all their words [W] string and the text of each [W], traced once."""

    def split(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        words = split_words(
            texts, lowercase=lowercase, strip_accents=strip_accents, mediapipe_compatible=mediapipe_compatible
        )
        return words.flat_values, words.value_rowids()

    compiled: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] = tf.function(
        split, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    return compiled


def _characters(words: Mapping[str, int]) -> list[str]:
    """Characters as tokens ("a" begins a word, "##a" continues it), most frequent first, then by code point."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for token in _spell(word):
            character = token.removeprefix(CONTINUATION)
            # A vocabulary file cannot hold a space; U+0011 as a token makes tensorflow_text 2.21 crash.
            if character.strip() and unicodedata.category(character) != "Cc":
                counts[token] += count
    return sorted(counts, key=lambda token: (-counts[token], token))


def _spell(word: str) -> list[str]:
    return [character if i == 0 else CONTINUATION + character for i, character in enumerate(word)]


def _pieces(words: Mapping[str, int], characters: set[str], room: int) -> list[str]:
    """At most `room` pieces of several characters, most frequent merge first."""
    known = {
        word: count
        for word, count in words.items()
        if len(word) > 1 and characters.issuperset(_spell(word)) and not set(word) & set(_RESERVED)
    }
    if room <= 0 or not known:
        return []
    # SentencePiece also counts its marks, the characters, and the merges of its mark with each character.
    size = _META_PIECES + 1 + 2 * len(characters) + room
    merges = [piece for piece in _merges(known, size) if piece not in characters]
    support = _support(known, set(merges))
    fewest = min(_MIN_COUNT, sum(words.values()) // _WORDS_PER_COUNT)
    return [piece for piece in merges if support[piece] >= fewest][:room]


def _merges(words: Mapping[str, int], size: int) -> list[str]:
    """The merges of byte-pair encoding over `words`, as WordPiece tokens, in the order of merging."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(f"{word}\t{count}" for word, count in words.items()),
        model_writer=model,
        input_format="tsv",
        model_type="bpe",
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        split_by_unicode_script=False,
        split_by_number=False,
        max_sentencepiece_length=MAX_WORDPIECE_BYTES,
        num_threads=1,
        minloglevel=2,
    )
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = (learned.id_to_piece(index) for index in range(_META_PIECES, learned.get_piece_size()))
    tokens = (p[len(_BEGIN) :] if p.startswith(_BEGIN) else CONTINUATION + p for p in pieces)
    return [token for token in tokens if token]


def _support(words: Mapping[str, int], pieces: set[str]) -> Counter[str]:
    """How often each piece occurs at a position where it could be used."""
    support: Counter[str] = Counter()
    longest = max((len(piece) for piece in pieces), default=0)
    for word, count in words.items():
        for begin in range(len(word)):
            mark = CONTINUATION if begin else ""
            for end in range(begin + 2, min(len(word), begin + longest) + 1):
                piece = mark + word[begin:end]
                if piece in pieces:
                    support[piece] += count
    return support
