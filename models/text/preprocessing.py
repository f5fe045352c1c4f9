"""Text to token ids as graph operations: no Python, no lookup tables, no assets.

Transform, the SavedModel and the tests all call `Preprocessor`; nothing else tokenizes. Its operations are TensorFlow's
own and those of tensorflow_text that TF Serving >= 2.20 registers (`tests/golden/serving_ops.txt`).

The ids are those of KerasHub's text classifier preprocessors for the same vocabulary. For WordPiece this requires the
same steps in the same order (`keras_hub/src/tokenizers/word_piece_tokenizer.py`): `tf_text.FastBertTokenizer` is
faster, but splits and folds some 12,000 characters differently ("…", no-break space, Hangul, zero-width space). Text
that is not UTF-8, which KerasHub refuses, is read as by `bytes.decode("utf-8", errors="replace")`.

For byte pairs (`byte_pair_ops.py`) the ids are GPT-2's. KerasHub 0.32 is not consistent: eagerly it merges across word
boundaries (its pattern is taken for literal text); in a graph it ends a text at NUL, drops the digit "६" and splits
some runs of spaces differently. A special token's name within a text ("</s>") is plain text, as in WordPiece; with
KerasHub and Hugging Face a text could forge the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import sentencepiece
import tensorflow as tf
import tensorflow_text as tf_text

from models.errors import PresetError
from models.text import byte_pair_ops
from tflite.host.text_rules import CJK_BLOCKS, MAX_WORDPIECE_BYTES, MEDIAPIPE_PUNCTUATION, MEDIAPIPE_SPACE
from tflite.host.tokenizer import Tokenizer

# Classes of RE2. `\s` is ASCII white space only; other spaces (U+00A0, U+3000) stay in their word, as in KerasHub.
_SPACE = r"\s|\p{Cc}|\p{Cf}"
_PUNCTUATION = r"[!-/]|[:-@]|[\[-`]|[{-~]|[\p{P}]"
_CJK = "|".join(rf"[\x{{{first:X}}}-\x{{{last:X}}}]" for first, last in CJK_BLOCKS)
_KEPT = f"{_PUNCTUATION}|{_CJK}"
_SPLIT = f"{_SPACE}|{_KEPT}"
_NEWER = "".join(rf"\x{{{point:X}}}" for point in MEDIAPIPE_PUNCTUATION)
_MEDIAPIPE_KEPT = f"{_KEPT}|[{_NEWER}]"
_FROM_NUL = r"(?s)\x{00}.*"
_MEDIAPIPE_SPLIT = f"[{MEDIAPIPE_SPACE}]|{_MEDIAPIPE_KEPT}"


def valid_utf8(text: tf.Tensor) -> tf.Tensor:
    """Replaces bytes that are not UTF-8 with U+FFFD; string, any shape."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replace_control_characters=False)


def split_words(
    text: tf.Tensor, *, lowercase: bool, strip_accents: bool, mediapipe_compatible: bool = False
) -> tf.RaggedTensor:
    """Normalizes text and splits it into the words that WordPiece then splits into pieces.

    Args:
        text: [B] string, any bytes.
        lowercase: fold case (Unicode's NFKC_Casefold: "Straße" to "strasse", "…" to "...").
        strip_accents: decompose (NFD) and drop the combining marks.
        mediapipe_compatible: the words of MediaPipe's TextClassifier, see `mediapipe_rules.py`; the other two are then
            ignored.

    Returns:
        [B, (W)] string: words, punctuation marks and CJK characters.
    """
    if mediapipe_compatible:
        return _split_as_mediapipe(text)
    # For `regex_split` (and so for KerasHub in tf.data) text ends at NUL; here it is a space like other controls.
    text = tf.strings.regex_replace(valid_utf8(text), r"\x{00}", " ")
    text = tf.strings.regex_replace(text, _CJK, r" \0 ")
    if strip_accents:
        text = tf.strings.regex_replace(tf_text.normalize_utf8(text, "NFD"), r"\p{Mn}", "")
    words = tf_text.regex_split(text, delim_regex_pattern=_SPLIT, keep_delim_regex_pattern=_KEPT)
    return tf_text.case_fold_utf8(words) if lowercase else words


def _split_as_mediapipe(text: tf.Tensor) -> tf.RaggedTensor:
    # MediaPipe's text ends at the first NUL. So does that of `regex_split`, but that is undocumented.
    text = tf.strings.regex_replace(valid_utf8(text), _FROM_NUL, "")
    text = tf.strings.lower(text)  # without an encoding: ASCII only
    return tf_text.regex_split(text, delim_regex_pattern=_MEDIAPIPE_SPLIT, keep_delim_regex_pattern=_MEDIAPIPE_KEPT)


class Preprocessor:
    """Text to token ids: eagerly, in `tf.data`, in Transform and in a SavedModel.

    In a graph each call builds its vocabulary as a constant of that graph; eagerly it is built once.
    """

    def __init__(self, tokenizer: Tokenizer, *, words_recur: bool = False) -> None:
        """Raises PresetError if the tokenizer's SentencePiece model is not a unigram model.

        Args:
            words_recur: the batches have thousands of rows, so WordPiece cuts each of their distinct words only once.
                The ids are the same, in a third of the time.
        """
        self._words_recur = words_recur and tokenizer.family == "wordpiece"
        if tokenizer.family == "sentencepiece":
            _check_unigram(tokenizer.sentencepiece_model)
        self.tokenizer = tokenizer

    def __call__(self, text: tf.Tensor, text_pair: tf.Tensor | None = None) -> dict[str, tf.RaggedTensor]:
        """Token ids of each text, or of each pair of texts.

        Inputs longer than the tokenizer's `max_length` are cut: for a pair, tokens are taken in turn from the first and
        the second text until the length is reached (KerasHub's `MultiSegmentPacker`, "round_robin").

        Args:
            text: [B] string, any bytes.
            text_pair: [B] string, the second texts.

        Returns:
            `token_ids` [B, (L)] int32, special tokens included, L at most `max_length`, and `segment_ids` of the
            same shape: 1 from the second text on (RoBERTa, which has no segments: always 0).
        """
        texts = (text,) if text_pair is None else (text, text_pair)
        if tf.executing_eagerly():
            return self._compiled[len(texts)](*(tf.convert_to_tensor(each, tf.string) for each in texts))
        return self.once(*texts)

    def __reduce__(self) -> tuple[object, ...]:
        # Beam pickles it with the function that uses it; what is compiled stays behind.
        return partial(Preprocessor, words_recur=self._words_recur), (self.tokenizer,)

    @cached_property
    def _compiled(self) -> dict[int, Callable[..., dict[str, tf.RaggedTensor]]]:
        """By the number of texts in a row."""
        strings = tf.TensorSpec([None], tf.string)
        return {count: tf.function(self.once, input_signature=[strings] * count, autograph=False) for count in (1, 2)}

    def once(self, *texts: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        """What a call gives, without a graph of its own, whose recording takes longer than a few texts."""
        tokenizer = self.tokenizer
        cut = _CUTTERS[tokenizer.family](tokenizer)
        if self._words_recur:
            cut = _once_per_word(cut, tokenizer)
        segments = _trim([cut(text) for text in texts], tokenizer.max_length - 1 - sum(_ends(tokenizer, len(texts))))
        return _pack(segments, tokenizer)


def to_dense(ragged: Mapping[str, tf.RaggedTensor], pad_id: int, length: int | None = None) -> dict[str, tf.Tensor]:
    """Pads the output of `Preprocessor` to a rectangle.

    Args:
        ragged: `token_ids` and `segment_ids`, [B, (L)] int32 each.
        pad_id: token id after the end of a row.
        length: L of the result; default: that of the longest row. A longer row is cut.

    Returns:
        `token_ids`, `padding_mask` (1 for a token, 0 for padding) and `segment_ids`, [B, L] int32 each.
    """
    shape = [None, length]
    token_ids = ragged["token_ids"].to_tensor(default_value=pad_id, shape=shape)
    lengths = ragged["token_ids"].row_lengths()
    return {
        "token_ids": token_ids,
        "padding_mask": tf.sequence_mask(lengths, tf.shape(token_ids)[1], dtype=tf.int32),
        "segment_ids": ragged["segment_ids"].to_tensor(default_value=0, shape=shape),
    }


def _in_this_graph(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A tokenizer of tf_text, made outside the graph that is being recorded, and then put into it.

    It makes constants of lists of a million bytes, which takes a second in a graph.
    """
    with tf.init_scope():
        pieces = make(*args, **options)
    for name, value in [*vars(pieces).items()]:
        if tf.is_tensor(value):
            setattr(pieces, name, tf.constant(value.numpy()))
    return pieces


def _wordpiece(tokenizer: Tokenizer) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    pieces = _in_this_graph(
        tf_text.FastWordpieceTokenizer,
        vocab=list(tokenizer.vocabulary),
        token_out_type=tf.int32,
        max_bytes_per_word=MAX_WORDPIECE_BYTES,
        unknown_token=tokenizer.vocabulary[tokenizer.unknown_id],
        no_pretokenization=True,
    )

    def cut(text: tf.Tensor) -> tf.RaggedTensor:
        words = split_words(
            text,
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.strip_accents,
            mediapipe_compatible=tokenizer.mediapipe_compatible,
        )
        return pieces.tokenize(words).merge_dims(-2, -1)

    return cut


def _once_per_word(cut: Callable[[tf.Tensor], tf.RaggedTensor], tokenizer: Tokenizer) -> Callable[..., Any]:
    """What `cut` gives: a space always ends a word, and nothing is normalized or cut across it."""

    def cut_distinct(text: tf.Tensor) -> tf.RaggedTensor:
        if tokenizer.mediapipe_compatible:
            text = tf.strings.regex_replace(valid_utf8(text), _FROM_NUL, "")
        words = tf.strings.split(text, " ")
        distinct, places = tf.unique(words.values)
        pieces = tf.gather(cut(distinct), places)
        return tf.RaggedTensor.from_row_splits(
            pieces.values, tf.gather(pieces.row_splits, words.row_splits), validate=False
        )

    return cut_distinct


def _sentencepiece(tokenizer: Tokenizer) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    pieces = _in_this_graph(tf_text.FastSentencepieceTokenizer, tokenizer.sentencepiece_model)

    def cut(text: tf.Tensor) -> tf.RaggedTensor:
        # As an uncased checkpoint's own tokenizer (ALBERT's) does before SentencePiece.
        text = valid_utf8(text)
        if tokenizer.strip_accents:
            text = tf.strings.regex_replace(tf_text.normalize_utf8(text, "NFKD"), r"\p{Mn}", "")
        if tokenizer.lowercase:
            text = tf_text.case_fold_utf8(text)
        return pieces.tokenize(text).with_row_splits_dtype(tf.int64)

    return cut


def _byte_pair(tokenizer: Tokenizer) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    encode = byte_pair_ops.make_encoder(tokenizer)
    limit = byte_pair_ops.longest_prefix_bytes(tokenizer)

    def cut(text: tf.Tensor) -> tf.RaggedTensor:
        text = valid_utf8(tf.strings.substr(text, 0, limit))
        if tokenizer.add_prefix_space:
            text = tf.strings.regex_replace(text, r"\A[^ ]", r" \0", replace_global=False)
        return encode(text)

    return cut


_CUTTERS = {"wordpiece": _wordpiece, "sentencepiece": _sentencepiece, "byte_pair": _byte_pair}


def _check_unigram(model: bytes) -> None:
    # The operation without a resource takes every model for a unigram model; it would silently mistokenize others.
    try:
        sentencepiece.SentencePieceProcessor(model_proto=model).nbest_encode("a", nbest_size=2)
    except RuntimeError:
        raise PresetError(
            "a SentencePiece vocabulary that the graph cannot hold",
            got="a model that is not of type unigram",
            expected="type unigram (ALBERT, DeBERTa-v3)",
            fix="choose another preset, or a learned vocabulary",
        ) from None


def _trim(segments: list[tf.RaggedTensor], room: int) -> list[tf.RaggedTensor]:
    """Keeps `room` tokens of each row over all its segments, taken from each segment in turn."""
    if len(segments) == 1:
        return [_head(segments[0], tf.minimum(segments[0].row_lengths(), room))]
    first, second = (segment.row_lengths() for segment in segments)
    # Each gets half (the first also the odd token), plus what the other leaves free.
    keep_first = tf.minimum(first, tf.maximum(tf.cast((room + 1) // 2, tf.int64), room - second))
    keep_second = tf.minimum(second, tf.maximum(tf.cast(room // 2, tf.int64), room - first))
    return [_head(segments[0], keep_first), _head(segments[1], keep_second)]


def _head(rows: tf.RaggedTensor, keep: tf.Tensor) -> tf.RaggedTensor:
    """The first `keep` [B] int64 tokens of each row."""
    # Not a mask or `tf.repeat`, which take as much memory as if every row were as long as the longest.
    places = tf.ragged.range(rows.row_starts(), rows.row_starts() + keep)
    return tf.RaggedTensor.from_row_splits(tf.gather(rows.values, places.values), places.row_splits, validate=False)


def _ends(tokenizer: Tokenizer, texts: int) -> list[int]:
    """How many end tokens follow each text."""
    return [2] * (texts - 1) + [1] if tokenizer.pair_layout == "roberta" else [1] * texts


def _pack(segments: list[tf.RaggedTensor], tokenizer: Tokenizer) -> dict[str, tf.RaggedTensor]:
    """Adds special tokens: [start] a [end], or a and b in the tokenizer's pair layout."""
    rows = segments[0].nrows()

    def columns(token_id: int, count: int = 1) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.fill([rows, count], token_id))

    parts, numbers = [columns(tokenizer.start_id)], [columns(0)]
    for index, (segment, ends) in enumerate(zip(segments, _ends(tokenizer, len(segments)), strict=True)):
        number = index if tokenizer.pair_layout == "bert" else 0
        parts += [segment, columns(tokenizer.end_id, ends)]
        numbers += [segment.with_values(tf.fill(tf.shape(segment.values), number)), columns(number, ends)]
    return {"token_ids": tf.concat(parts, axis=1), "segment_ids": tf.concat(numbers, axis=1)}
