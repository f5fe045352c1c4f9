from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
import tiny_checkpoints

from models.errors import PresetError
from models.presets import preset_files
from models.presets.preset import describe, preset_tokenizer


def hugging_face(folder: Path, kind: str = "bert", tokenizer: dict | None = None, **changes: object) -> str:
    tiny_checkpoints.write(folder, kind, **changes)
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return str(folder)


def keras_hub(folder: Path, words: list[str], **switches: bool) -> str:
    """A folder as KerasHub's save_to_preset lays it out; its weights are a whole HDF5 file with nothing in it."""
    import h5py

    sizes = {
        "vocabulary_size": 40,
        "num_layers": 3,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "dropout": 0.1,
        "max_sequence_length": 24,
    }
    config = {"class_name": "BertBackbone", "registered_name": "keras_hub>BertBackbone", "config": sizes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps({"class_name": "BertTokenizer", "config": switches}))
    (folder / "assets" / "tokenizer").mkdir(parents=True)
    (folder / "assets" / "tokenizer" / "vocabulary.txt").write_text("\n".join(words) + "\n")
    h5py.File(folder / "model.weights.h5", "w").close()
    return str(folder)


@pytest.mark.parametrize(
    ("kind", "family", "layers", "act"),
    [
        ("bert", "bert", 2, "gelu"),
        ("distilbert", "distil_bert", 2, "gelu"),
        ("electra", "electra", 2, "gelu"),
        ("albert", "albert", 4, "gelu_tanh"),
        ("deberta-v2", "deberta_v3", 2, "gelu"),
        ("roberta", "roberta", 2, "gelu"),
    ],
)
def test_a_hugging_face_folder_is_described(kind: str, family: str, layers: int, act: str, tmp_path: Path) -> None:
    info = describe(hugging_face(tmp_path, kind))
    assert (info.format, info.family, info.num_layers, info.hidden_act) == ("hugging_face", family, layers, act)
    assert (info.width, info.num_heads, info.feedforward_width, info.max_positions) == (8, 2, 16, 24)
    assert info.vocabulary.file.parent == tmp_path
    assert info.weights == (tmp_path / "model.safetensors",)
    assert info.pooling is None


def test_a_kerashub_folder_is_described(tmp_path: Path) -> None:
    info = describe(keras_hub(tmp_path, tiny_checkpoints.WORDS, lowercase=True))
    assert (info.format, info.family, info.num_layers, info.width) == ("keras_hub", "bert", 3, 8)
    assert info.hidden_act is None
    assert info.vocabulary.file == tmp_path / "assets" / "tokenizer" / "vocabulary.txt"


def test_no_tensorflow_is_loaded_to_describe_a_preset(tmp_path: Path, repository: Path) -> None:
    code = (
        "import sys; from models.presets.preset import preset_tokenizer; "
        f"preset_tokenizer({hugging_face(tmp_path, 'albert')!r}, 16); "
        "print([name for name in ('tensorflow', 'keras', 'keras_hub') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert answer.stdout == "[]\n"


def test_sentence_transformers_folders_old_and_new(tmp_path: Path) -> None:
    modules = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    hugging_face(tmp_path / "0_Transformer")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    for config, pooling in (
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "mean"}, "mean"),
    ):
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
        info = describe(str(tmp_path))
        assert (info.folder, info.pooling) == (tmp_path / "0_Transformer", pooling)


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
            describe(preset)
        whole = preset_tokenizer(hugging_face(tmp_path / "other", "roberta"), 16)
        assets = tmp_path / "assets" / "tokenizer"
        (assets / "vocabulary.json").write_bytes((tmp_path / "other" / "vocab.json").read_bytes())
        with pytest.raises(PresetError, match=r"merges\.txt"):
            describe(preset)
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
            describe(preset)

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
        refused(vocabulary, "[]", "no vocabulary of byte pairs")
        refused(vocabulary, whole[vocabulary].replace('"<mask>": 28', '"<mask>": 40'), "every id from 0 on")
        refused(vocabulary, whole[vocabulary].replace("<unk>", "unk"), "lacks <unk>")
        refused(merges, whole[merges] + "a b c\n", r"merges\.txt of preset .* damaged")
        refused(merges, whole[merges] + "t e\n", "do not belong to its vocabulary")
        refused(merges, "", "no merges")
        merges.unlink()
        with pytest.raises(PresetError, match=r"has no vocabulary.*merges\.txt"):
            describe(preset)

    def test_positions_are_those_of_tokens(self, tmp_path: Path) -> None:
        preset = hugging_face(tmp_path, "roberta", tokenizer={"tokenizer_class": "RobertaTokenizerFast"})
        with pytest.raises(PresetError, match="at most 24"):
            preset_tokenizer(preset, 25)

    @pytest.mark.parametrize("name", ["PhobertTokenizer", "BertweetTokenizer", "BertTokenizer"])
    def test_relatives_with_other_tokenizers_are_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(PresetError, match=name):
            describe(hugging_face(tmp_path, "roberta", tokenizer={"tokenizer_class": name}))


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("longformer", "not among those that KerasHub"),
        ("bart", "not a bidirectional"),
        ("xlm-roberta", "shifted"),
        ("gpt2", "not a bidirectional"),
        ("mpnet", "not among those that KerasHub"),
        ("canine", "neither its layers nor its tokenizer"),
    ],
)
def test_other_families_are_refused_with_a_reason_and_a_way_out(model_type: str, reason: str, tmp_path: Path) -> None:
    preset = hugging_face(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(PresetError, match=reason) as caught:
        describe(preset)
    assert "use a BERT, DistilBERT, ELECTRA, ALBERT, DeBERTa-v3 or RoBERTa checkpoint" in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "XLMRobertaBackbone", "config": {}}))
    with pytest.raises(PresetError, match="shifted"):
        describe(preset)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "variant of BERT"),
        ("deberta-v2", {"conv_kernel_size": 3}, "variant of DeBERTa-v3"),
        ("deberta-v2", {"share_att_key": False}, "share_att_key"),
        ("deberta-v2", {"pos_att_type": ["c2p"]}, "pos_att_type"),
        ("roberta", {"position_embedding_type": "relative_key_query"}, "variant of RoBERTa"),
        ("bert", {"hidden_act": "quick_gelu"}, "quick_gelu"),
        ("bert", {"hidden_size": None}, "lacks hidden_size"),
        ("distilbert", {"dim": None}, "lacks dim"),
        ("bert", {"hidden_size": "eight"}, "hidden_size in config.json"),
        ("bert", {"num_hidden_layers": 0}, "num_hidden_layers in config.json"),
        ("bert", {"hidden_dropout_prob": [0.1]}, "hidden_dropout_prob in config.json"),
    ],
)
def test_variants_that_would_compute_something_else_are_refused(
    kind: str, changes: dict, message: str, tmp_path: Path
) -> None:
    preset = hugging_face(tmp_path, kind)
    (tmp_path / "config.json").write_text(json.dumps({**tiny_checkpoints.CONFIGS[kind], **changes}))
    with pytest.raises(PresetError, match=message):
        describe(preset)


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


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(PresetError, match=message):
            preset_tokenizer(str(folder), 16)

    folder = tmp_path / "absent"
    refused("does not exist")
    folder = tmp_path / "bert"
    folder.mkdir()
    refused("has no config.json")
    hugging_face(folder)
    whole = {path: path.read_bytes() for path in folder.iterdir()}

    weights, config, vocabulary = (folder / name for name in ("model.safetensors", "config.json", "vocab.txt"))
    weights.write_bytes(whole[weights][:-100])
    refused("model.safetensors of preset .* damaged")
    weights.write_bytes(b"")
    refused("damaged")
    weights.unlink()
    refused("has no model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")
    refused("pickle")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-1.safetensors"}}')
    refused("has no part-1.safetensors")
    (folder / "model.safetensors.index.json").unlink()
    weights.write_bytes(whole[weights])

    config.write_text("{")
    refused("config.json of preset .* cannot be read")
    config.write_text("{}")
    refused("'model_type'")
    config.write_bytes(whole[config])

    vocabulary.write_bytes(b"\xff\xfe")
    refused("not UTF-8")
    vocabulary.write_text("\n".join([*tiny_checkpoints.WORDS, *(f"w{i}" for i in range(40))]))
    refused("does not belong to its weights")
    vocabulary.unlink()
    refused("has no vocabulary")
    vocabulary.write_bytes(whole[vocabulary])
    assert preset_tokenizer(str(folder), 24).max_length == 24
    with pytest.raises(PresetError, match="max_length is more"):
        preset_tokenizer(str(folder), 25)


def test_a_damaged_sentencepiece_model_is_named(tmp_path: Path) -> None:
    preset = hugging_face(tmp_path, "albert")
    (tmp_path / "spiece.model").write_bytes(b"no model")
    with pytest.raises(PresetError, match=r"spiece\.model"):
        preset_tokenizer(preset, 16)


def test_kerashub_folders_that_are_not_whole(tmp_path: Path) -> None:
    preset = keras_hub(tmp_path, tiny_checkpoints.WORDS, lowercase=True)
    weights = tmp_path / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(PresetError, match="damaged"):
        describe(preset)
    weights.unlink()
    with pytest.raises(PresetError, match=r"has no model\.weights\.h5"):
        describe(preset)
    (tmp_path / "assets" / "tokenizer" / "vocabulary.txt").unlink()
    with pytest.raises(PresetError, match="has no vocabulary"):
        describe(preset)


@pytest.mark.parametrize("preset", ["hf://a/b/c/d", "kaggle://a", "gs://bucket/folder", "no_such_name", "./nowhere"])
def test_handles_that_cannot_be_right(preset: str) -> None:
    with pytest.raises(PresetError):
        describe(preset)


def test_kerashubs_names_are_known_without_importing_it() -> None:
    handle = preset_files._registered_handle("bert_tiny_en_uncased", Path("bert_tiny_en_uncased"))
    assert handle.startswith("keras/bert/keras/bert_tiny_en_uncased")
