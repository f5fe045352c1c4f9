"""The tokenizer of a pretrained checkpoint, from its vocabulary file and its options. Imports no TensorFlow."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.errors import PresetError
from models.presets import byte_pair_files
from models.presets.families import Family
from models.presets.preset_files import read_json
from tflite.host.tokenizer import MERGES_FILE, Tokenizer

_ROLES = {"start": "cls_token", "end": "sep_token", "pad": "pad_token", "unknown": "unk_token"}
_KERAS_HUB_FILES = {
    "wordpiece": ("vocabulary.txt",),
    "sentencepiece": ("vocabulary.spm",),
    "byte_pair": ("vocabulary.json", MERGES_FILE),
}


@dataclass(frozen=True)
class Vocabulary:
    """A checkpoint's vocabulary file, and the options of its tokenizer.

    Attributes:
        file: the vocabulary: vocab.txt, vocab.json, tokenizer.json, or a SentencePiece model.
        merges: byte pairs: merges.txt, unless `file` holds them.
        tokenizer: the algorithm, as in `Tokenizer.family`.
        lowercase, strip_accents: None: decided by the vocabulary's tokens, see `_folds`.
        add_prefix_space: byte pairs: see `Tokenizer`.
        special_tokens: "start", "end", "pad" and "unknown" to their tokens.
    """

    file: Path
    tokenizer: Literal["wordpiece", "sentencepiece", "byte_pair"]
    lowercase: bool | None
    strip_accents: bool | None
    special_tokens: Mapping[str, str]
    merges: Path | None = None
    add_prefix_space: bool = False


def find_hugging_face(preset: str, folder: Path, family: Family) -> Vocabulary:
    """The vocabulary of a Hugging Face folder.

    Raises:
        PresetError: there is none, or its tokenizer is not the family's.
    """
    settings = _settings(preset, folder)
    _check_class(preset, settings, family)
    fast = read_json(preset, folder / "tokenizer.json") if (folder / "tokenizer.json").is_file() else {}
    normalizer = fast.get("normalizer") or {}
    files = [folder / family.vocabulary_file]
    if family.tokenizer == "byte_pair":
        byte_pair_files.check_rules(preset, fast)
        files.append(folder / MERGES_FILE)
    missing = [file for file in files if not file.is_file()]
    if missing and family.tokenizer != "sentencepiece" and (fast.get("model") or {}).get("vocab"):
        files, missing = [folder / "tokenizer.json"], []
    if missing:
        raise _no_vocabulary(preset, folder, missing[0].name)
    lowercase = settings.get("do_lower_case", normalizer.get("lowercase"))
    lowercase = family.lowercase if lowercase is None else bool(lowercase)
    # The default follows the letters' case (transformers' BertTokenizer; ALBERT's has its own option).
    accents = settings.get("strip_accents", normalizer.get("strip_accents"))
    if "keep_accents" in settings:
        accents = not settings["keep_accents"]
    return Vocabulary(
        file=files[0],
        tokenizer=family.tokenizer,
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else bool(accents),
        merges=files[1] if len(files) > 1 else None,
        add_prefix_space=bool(settings.get("add_prefix_space", byte_pair_files.prefix_space(fast))),
        special_tokens={role: _token(settings.get(_ROLES[role])) or t for role, t in family.special_tokens.items()},
    )


def find_keras_hub(preset: str, folder: Path, family: Family) -> Vocabulary:
    """The vocabulary of a KerasHub folder.

    Raises:
        PresetError: there is none.
    """
    files = [folder / "assets" / "tokenizer" / name for name in _KERAS_HUB_FILES[family.tokenizer]]
    for file in files:
        if not file.is_file():
            raise _no_vocabulary(preset, folder, f"assets/tokenizer/{file.name}")
    settings = folder / "tokenizer.json"
    config = read_json(preset, settings).get("config", {}) if settings.is_file() else {}
    return Vocabulary(
        file=files[0],
        tokenizer=family.tokenizer,
        lowercase=config.get("lowercase") if family.tokenizer == "wordpiece" else None,
        # KerasHub writes False by default; an uncased vocabulary would then know no accented word.
        strip_accents=config.get("strip_accents") or None,
        special_tokens=family.special_tokens,
        merges=files[1] if len(files) > 1 else None,
        add_prefix_space=bool(config.get("add_prefix_space", False)),
    )


def read_tokenizer(preset: str, vocabulary: Vocabulary, max_length: int) -> Tokenizer:
    """Reads the vocabulary.

    Raises:
        PresetError: it cannot be read, or lacks a special token.
    """
    tokens: tuple[str, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()
    model = b""
    if vocabulary.tokenizer == "wordpiece":
        tokens = _read_wordpiece(preset, vocabulary.file)
    elif vocabulary.tokenizer == "byte_pair":
        tokens, merges = byte_pair_files.read_byte_pairs(preset, vocabulary.file, vocabulary.merges)
    else:
        model = vocabulary.file.read_bytes()
    pieces: Iterable[str] = tokens or _read_pieces(preset, vocabulary.file, model)
    ids = {token: index for index, token in enumerate(pieces)}
    missing = [token for token in vocabulary.special_tokens.values() if token not in ids]
    if missing:
        raise PresetError(
            f"vocabulary {vocabulary.file.name} of preset {preset!r} lacks {', '.join(missing)}",
            got=f"{len(ids)} tokens",
            fix="take vocabulary and weights from the same checkpoint",
        )
    lowercase, strip_accents = _normalization(vocabulary, pieces)
    special_ids: dict[str, Any] = {f"{role}_id": ids[token] for role, token in vocabulary.special_tokens.items()}
    return Tokenizer(
        family=vocabulary.tokenizer,
        vocabulary=tokens,
        merges=merges,
        sentencepiece_model=model,
        vocabulary_size=max(ids.values()) + 1,
        lowercase=lowercase,
        strip_accents=strip_accents,
        add_prefix_space=vocabulary.add_prefix_space,
        max_length=max_length,
        pair_layout="roberta" if vocabulary.tokenizer == "byte_pair" else "bert",
        **special_ids,
    )


def _normalization(vocabulary: Vocabulary, pieces: Iterable[str]) -> tuple[bool, bool]:
    """`lowercase` and `strip_accents` from the folder, or else from the vocabulary."""
    if vocabulary.tokenizer == "byte_pair":
        return False, False
    special = set(vocabulary.special_tokens.values())
    lowercase = _folds(pieces, special, str.lower) if vocabulary.lowercase is None else vocabulary.lowercase
    if vocabulary.strip_accents is None:
        return lowercase, lowercase and _folds(pieces, special, _without_accents)
    return lowercase, vocabulary.strip_accents


def _settings(preset: str, folder: Path) -> dict[str, Any]:
    """special_tokens_map.json, overridden by tokenizer_config.json; either may be missing."""
    files = [folder / name for name in ("special_tokens_map.json", "tokenizer_config.json")]
    merged: dict[str, Any] = {}
    for file in files:
        if file.is_file():
            merged |= read_json(preset, file)
    return merged


def _check_class(preset: str, settings: Mapping[str, Any], family: Family) -> None:
    name = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    # PreTrainedTokenizer(Fast) says nothing: the vocabulary file decides.
    if name and name != "PreTrainedTokenizer" and name not in family.tokenizer_classes:
        raise PresetError(
            f"preset {preset!r} tokenizes with {name}, which the served graph cannot do",
            expected=" or ".join(family.tokenizer_classes),
            fix="use another checkpoint",
        )
    if settings.get("tokenize_chinese_chars") is False:
        raise PresetError(
            f"preset {preset!r} keeps Chinese characters together, which the served graph cannot do",
            got="tokenize_chinese_chars: false in tokenizer_config.json",
            fix="use another checkpoint, or set it to true if the texts hold no such characters",
        )


def _token(value: object) -> str | None:
    """A special token as transformers writes it: a string, or an object with its "content"."""
    return str(value["content"]) if isinstance(value, dict) else (str(value) if value else None)


def _read_wordpiece(preset: str, file: Path) -> tuple[str, ...]:
    if file.suffix == ".json":
        model = read_json(preset, file)["model"]
        ranks = sorted(model["vocab"].items(), key=lambda item: item[1])
        if model.get("type") != "WordPiece" or [rank for _, rank in ranks] != list(range(len(ranks))):
            raise PresetError(
                f"tokenizer.json of preset {preset!r}",
                got=f"a {model.get('type')} vocabulary of {len(ranks)} tokens",
                expected="a WordPiece vocabulary with every id from 0 on",
                fix="add the checkpoint's vocab.txt to the folder",
            )
        return tuple(token for token, _ in ranks)
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PresetError(f"vocabulary {file.name} of preset {preset!r} is not UTF-8", got=str(error)) from error
    lines = text.removesuffix("\n").split("\n")
    return tuple(line.removesuffix("\r") for line in lines)


def _read_pieces(preset: str, file: Path, model: bytes) -> list[str]:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, TypeError) as error:
        raise PresetError(
            f"vocabulary {file.name} of preset {preset!r} is not a SentencePiece model",
            got=f"{len(model)} bytes",
            fix="download the checkpoint again",
        ) from error
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def _folds(pieces: Iterable[str], special: set[str], fold: Callable[[str], str]) -> bool:
    """Whether a vocabulary was learned from folded text: folding changes no token except special ones."""
    return all(fold(piece) == piece for piece in pieces if piece not in special and not _is_control(piece))


def _is_control(piece: str) -> bool:
    """Tokens that are not text: [MASK], [unused7], <s>, <0xA0>."""
    return piece[:1] + piece[-1:] in ("[]", "<>")


def _without_accents(text: str) -> str:
    """NFD without combining marks, like BERT's basic tokenizer."""
    decomposed = unicodedata.normalize("NFD", text)
    kept = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    return text if kept == decomposed else kept


def _no_vocabulary(preset: str, folder: Path, name: str) -> PresetError:
    return PresetError(
        f"preset {preset!r} has no vocabulary: {folder / name} is missing",
        got=", ".join(sorted(path.name for path in folder.iterdir())[:8]),
        fix="add the checkpoint's own vocabulary to the folder",
    )
