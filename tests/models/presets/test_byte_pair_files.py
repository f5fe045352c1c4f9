from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import tiny_checkpoints
from preset_folders import hugging_face, keras_hub

from models.errors import PresetError
from models.presets.preset import describe_preset, preset_tokenizer


class TestBytePairs:
    FAST = {
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "vocab": {token: index for index, token in enumerate(tiny_checkpoints.BYTE_PAIRS)},
            "merges": tiny_checkpoints.MERGES,
        },
    }

    def test_the_vocabulary_the_merges_and_the_special_tokens(self, tmp_path: Path) -> None:
        tokenizer = preset_tokenizer(hugging_face(tmp_path, "roberta"), 16)
        assert tokenizer.vocabulary == tuple(tiny_checkpoints.BYTE_PAIRS)
        assert tokenizer.merges == tuple(tuple(merge.split(" ")) for merge in tiny_checkpoints.MERGES)
        assert (tokenizer.start_id, tokenizer.pad_id, tokenizer.end_id, tokenizer.unknown_id) == (0, 1, 2, 3)
        assert (tokenizer.family, tokenizer.pair_layout, tokenizer.vocabulary_size) == ("byte_pair", "roberta", 29)
        assert (tokenizer.lowercase, tokenizer.strip_accents, tokenizer.add_prefix_space) == (False, False, False)

    @pytest.mark.parametrize("as_pairs", [False, True])
    def test_tokenizer_json_alone(self, as_pairs: bool, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, "roberta")
        whole = preset_tokenizer(preset, 16)
        (tmp_path / "vocab.json").unlink()
        fast = json.loads(json.dumps(self.FAST))
        fast["pre_tokenizer"]["add_prefix_space"] = True
        if as_pairs:
            fast["model"]["merges"] = [merge.split(" ") for merge in tiny_checkpoints.MERGES]
        (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
        assert preset_tokenizer(preset, 16) == dataclasses.replace(whole, add_prefix_space=True)
        (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": false}')
        assert preset_tokenizer(preset, 16) == whole

    def test_a_kerashub_folder(self, tmp_path: Path) -> None:
        preset = keras_hub(tmp_path, [], add_prefix_space=True)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "class_name": "RobertaBackbone"}))
        with pytest.raises(PresetError, match=r"vocabulary\.json"):
            describe_preset(preset)
        whole = preset_tokenizer(hugging_face(tmp_path / "other", "roberta"), 16)
        assets = tmp_path / "assets" / "tokenizer"
        (assets / "vocabulary.json").write_bytes((tmp_path / "other" / "vocab.json").read_bytes())
        with pytest.raises(PresetError, match=r"merges\.txt"):
            describe_preset(preset)
        (assets / "merges.txt").write_text("\n".join(tiny_checkpoints.MERGES))
        assert preset_tokenizer(preset, 16) == dataclasses.replace(whole, add_prefix_space=True)

    @pytest.mark.parametrize(
        ("part", "changes"),
        [
            (None, {"normalizer": {"type": "Lowercase"}}),
            (None, {"pre_tokenizer": {"type": "Whitespace"}}),
            ("pre_tokenizer", {"use_regex": False}),
            ("model", {"byte_fallback": True}),
            ("model", {"end_of_word_suffix": "</w>"}),
        ],
    )
    def test_other_rules_are_refused(self, part: str | None, changes: dict, tmp_path: Path) -> None:
        fast = json.loads(json.dumps(self.FAST))
        (fast[part] if part else fast).update(changes)
        preset = hugging_face(tmp_path, "roberta")
        (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
        with pytest.raises(PresetError, match=f"other rules than GPT-2's.*\n.*{next(iter(changes))}"):
            describe_preset(preset)

    def test_what_is_missing_or_damaged_is_named(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, "roberta")
        vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
        whole = {path: path.read_text() for path in (vocabulary, merges)}

        def refused(file: Path, text: str, message: str) -> None:
            file.write_text(text)
            with pytest.raises(PresetError, match=message):
                preset_tokenizer(preset, 16)
            file.write_text(whole[file])

        refused(vocabulary, whole[vocabulary][:-20], r"vocab\.json of preset .* cannot be read")
        refused(vocabulary, "[]", "not a byte-pair vocabulary")
        refused(vocabulary, whole[vocabulary].replace('"<mask>": 28', '"<mask>": 40'), "every id from 0 on")
        refused(vocabulary, whole[vocabulary].replace("<unk>", "unk"), "lacks <unk>")
        refused(merges, whole[merges] + "a b c\n", r"merges\.txt of preset .* damaged")
        refused(merges, whole[merges] + "t e\n", "do not belong to its vocabulary")
        refused(merges, "", "no merges")
        merges.unlink()
        with pytest.raises(PresetError, match=r"has no vocabulary.*merges\.txt"):
            describe_preset(preset)

    def test_positions_are_those_of_tokens(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, "roberta", tokenizer={"tokenizer_class": "RobertaTokenizerFast"})
        with pytest.raises(PresetError, match="at most 24"):
            preset_tokenizer(preset, 25)

    @pytest.mark.parametrize("name", ["PhobertTokenizer", "BertweetTokenizer", "BertTokenizer"])
    def test_relatives_with_other_tokenizers_are_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(PresetError, match=name):
            describe_preset(hugging_face(tmp_path, "roberta", tokenizer={"tokenizer_class": name}))
