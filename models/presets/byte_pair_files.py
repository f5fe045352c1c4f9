"""A checkpoint's byte-level byte pairs: vocabulary, merges, and whether it follows GPT-2's rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import PresetError
from models.presets.preset_files import read_json
from tflite.host.tokenizer import parse_merges

Merges = tuple[tuple[str, str], ...]
# Options of a tokenizer.json that would give other ids than the served graph's.
_SWITCHES = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


def check_rules(preset: str, fast: Mapping[str, Any]) -> None:
    """Checks that a tokenizer.json, if there is one (`fast` is not empty), splits text like GPT-2.

    Raises:
        PresetError: it normalizes the text, or splits or merges it by other rules.
    """
    if not fast:
        return
    splitter = fast.get("pre_tokenizer") or {}
    wrong = [f"model.{key} {fast['model'][key]!r}" for key in _SWITCHES if (fast.get("model") or {}).get(key)]
    if fast.get("normalizer"):
        wrong.append(f"normalizer {fast['normalizer'].get('type')!r}")
    if splitter.get("type") != "ByteLevel" or splitter.get("use_regex") is False:
        wrong.append(f"pre_tokenizer {splitter.get('type')!r}, use_regex {splitter.get('use_regex', True)}")
    if wrong:
        raise PresetError(
            f"preset {preset!r} splits text by other rules than GPT-2's, which the served graph cannot do",
            got=f"{', '.join(wrong)} in tokenizer.json",
            expected="no normalizer, the pre_tokenizer ByteLevel, and plain merges",
            fix="use another checkpoint",
        )


def prefix_space(fast: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json puts a space before the text; False without one."""
    return bool((fast.get("pre_tokenizer") or {}).get("add_prefix_space", False))


def read_byte_pairs(preset: str, file: Path, merges_file: Path | None) -> tuple[tuple[str, ...], Merges]:
    """The tokens in the order of their ids, and the merges.

    Args:
        preset: as the user named it.
        file: vocab.json, or a tokenizer.json that holds the merges too.
        merges_file: merges.txt; None for a tokenizer.json.

    Raises:
        PresetError: one of them is damaged, or they do not fit together.
    """
    model = read_json(preset, file)
    if merges_file is None:
        model = model["model"]
        ids, merges = model["vocab"], _listed(model.get("merges"))
    else:
        ids, merges = model, _read_merges(preset, merges_file)
    tokens = _by_id(ids)
    if tokens is None or merges is None or (merges_file is None and model.get("type") != "BPE"):
        raise PresetError(
            f"vocabulary {file.name} of preset {preset!r} is not a byte-pair vocabulary",
            got=f"{len(ids)} entries" if isinstance(ids, dict) else type(ids).__name__,
            expected="tokens with every id from 0 on" + ("" if merges_file else ", and pairs of tokens under merges"),
            fix="take the vocabulary from the checkpoint itself",
        )
    known = set(tokens)
    unknown = [pair for pair in merges if not {pair[0], pair[1], pair[0] + pair[1]} <= known]
    if unknown or not merges:
        raise PresetError(
            f"merges of preset {preset!r} do not belong to its vocabulary",
            got=f"{' and '.join(unknown[0])!r}, not a token each and together" if unknown else "no merges",
            expected=f"pairs of the {len(tokens)} tokens of {file.name}",
            fix="take both from the same checkpoint",
        )
    return tokens, merges


def _by_id(ids: object) -> tuple[str, ...] | None:
    """Tokens in the order of their ids; None unless these are 0, 1, 2, …"""
    if not isinstance(ids, dict) or not all(type(index) is int for index in ids.values()):
        return None
    ranked = sorted(ids, key=ids.__getitem__)
    return tuple(ranked) if [ids[token] for token in ranked] == list(range(len(ids))) else None


def _listed(merges: object) -> Merges | None:
    """The merges of a tokenizer.json: since `tokenizers` 0.20 ["a", "b"] each, before that "a b"."""
    if not isinstance(merges, list):
        return None
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    return tuple((str(left), str(right)) for left, right in pairs)


def _read_merges(preset: str, file: Path) -> Merges:
    try:
        return parse_merges(file.read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise PresetError(
            f"{file.name} of preset {preset!r} is damaged",
            got=str(error),
            expected="two tokens on each line",
            fix="download the checkpoint again",
        ) from error
