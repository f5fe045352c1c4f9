from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
import tiny_checkpoints
from preset_folders import hugging_face, keras_hub

from models.errors import PresetError
from models.presets.preset import preset_tokenizer


class TestWordPiece:
    def test_the_vocabulary_and_the_special_tokens(self, tmp_path: Path) -> None:
        tokenizer = preset_tokenizer(hugging_face(tmp_path), 16)
        assert tokenizer.vocabulary == tuple(tiny_checkpoints.WORDS)
        assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id) == (0, 1, 2, 3)
        assert (tokenizer.vocabulary_size, tokenizer.max_length, tokenizer.family) == (13, 16, "wordpiece")

    @pytest.mark.parametrize(
        ("settings", "lowercase", "strip_accents"),
        [
            (None, True, True),
            ({"do_lower_case": True, "strip_accents": None}, True, True),
            ({"do_lower_case": False}, False, False),
            ({"do_lower_case": True, "strip_accents": False}, True, False),
            ({"do_lower_case": False, "strip_accents": True}, False, True),
        ],
    )
    def test_uncased_strips_accents_unless_the_folder_says_otherwise(
        self, settings: dict | None, lowercase: bool, strip_accents: bool, tmp_path: Path
    ) -> None:
        tokenizer = preset_tokenizer(hugging_face(tmp_path, tokenizer=settings), 16)
        assert (tokenizer.lowercase, tokenizer.strip_accents) == (lowercase, strip_accents)

    def test_tokenizer_json_stands_in_for_the_vocabulary_and_the_switches(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path)
        (tmp_path / "vocab.txt").unlink()
        fast = {
            "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
            "model": {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(tiny_checkpoints.WORDS)}},
        }
        (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
        tokenizer = preset_tokenizer(preset, 16)
        assert tokenizer.vocabulary == tuple(tiny_checkpoints.WORDS)
        assert (tokenizer.lowercase, tokenizer.strip_accents) == (False, False)
        fast["model"]["type"] = "BPE"
        (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
        with pytest.raises(PresetError, match="BPE"):
            preset_tokenizer(preset, 16)

    def test_special_tokens_may_have_other_names(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, tokenizer={"cls_token": {"content": "good"}, "sep_token": "bad"})
        tokenizer = preset_tokenizer(preset, 16)
        assert (tokenizer.start_id, tokenizer.end_id) == (8, 9)

    @pytest.mark.parametrize(("words", "stripped"), [(["cafe", "##s"], True), (["café", "##s"], False)])
    def test_kerashub_folders_do_not_say_and_their_words_decide(
        self, words: list[str], stripped: bool, tmp_path: Path
    ) -> None:
        words = [*tiny_checkpoints.WORDS[:5], *words]
        preset = keras_hub(tmp_path, words, lowercase=True, strip_accents=False)
        assert preset_tokenizer(preset, 16).strip_accents is stripped

    def test_windows_line_ends_and_a_missing_last_one(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path)
        (tmp_path / "vocab.txt").write_bytes("\r\n".join(tiny_checkpoints.WORDS).encode())
        assert preset_tokenizer(preset, 16).vocabulary == tuple(tiny_checkpoints.WORDS)


class TestSentencePiece:
    @pytest.mark.parametrize(
        ("kind", "ids"), [("albert", {"pad": 0, "unknown": 1, "start": 2, "end": 3}), ("deberta-v2", None)]
    )
    def test_the_model_and_the_special_tokens(self, kind: str, ids: dict | None, tmp_path: Path) -> None:
        ids = ids or {"pad": 0, "start": 1, "end": 2, "unknown": 3}
        tokenizer = preset_tokenizer(hugging_face(tmp_path, kind), 16)
        assert {role: getattr(tokenizer, f"{role}_id") for role in ids} == ids
        processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model)
        assert tokenizer.vocabulary_size == processor.get_piece_size()
        assert tokenizer.vocabulary == ()
        assert (tokenizer.lowercase, tokenizer.strip_accents) == ((True, True) if kind == "albert" else (False, False))

    def test_albert_may_keep_accents_and_case(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, "albert", tokenizer={"do_lower_case": False, "keep_accents": True})
        tokenizer = preset_tokenizer(preset, 16)
        assert (tokenizer.lowercase, tokenizer.strip_accents) == (False, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer"),
        ({"tokenizer_class": "XLMRobertaTokenizerFast"}, "XLMRobertaTokenizer"),
        ({"tokenize_chinese_chars": False}, "Chinese"),
        ({"cls_token": "<start>"}, "lacks <start>"),
    ],
)
def test_tokenizers_that_the_graph_cannot_compute_are_refused(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=message):
        preset_tokenizer(hugging_face(tmp_path, tokenizer=settings), 16)


def test_a_damaged_sentencepiece_model_is_named(tmp_path: Path) -> None:
    preset = hugging_face(tmp_path, "albert")
    (tmp_path / "spiece.model").write_bytes(b"no model")
    with pytest.raises(PresetError, match=r"spiece\.model"):
        preset_tokenizer(preset, 16)
