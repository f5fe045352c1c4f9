from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_checkpoints
from preset_folders import hugging_face, keras_hub

from models.errors import PresetError
from models.presets import preset_names
from models.presets.preset import describe_preset, preset_tokenizer


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
    info = describe_preset(hugging_face(tmp_path, kind))
    assert (info.format, info.family, info.num_layers, info.hidden_act) == ("hugging_face", family, layers, act)
    assert (info.width, info.num_heads, info.feedforward_width, info.max_positions) == (8, 2, 16, 24)
    assert info.vocabulary.file.parent == tmp_path
    assert info.weights == (tmp_path / "model.safetensors",)
    assert info.pooling is None


def test_a_kerashub_folder_is_described(tmp_path: Path) -> None:
    info = describe_preset(keras_hub(tmp_path, tiny_checkpoints.WORDS, lowercase=True))
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
        info = describe_preset(str(tmp_path))
        assert (info.folder, info.pooling) == (tmp_path / "0_Transformer", pooling)


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
        describe_preset(preset)
    assert "use a BERT, DistilBERT, ELECTRA, ALBERT, DeBERTa-v3 or RoBERTa checkpoint" in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "XLMRobertaBackbone", "config": {}}))
    with pytest.raises(PresetError, match="shifted"):
        describe_preset(preset)


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
        describe_preset(preset)


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
    vocabulary.write_text("\n".join([*tiny_checkpoints.WORDS, *(f"w{i}" for i in range(3000))]))
    refused("does not belong to its weights")
    vocabulary.unlink()
    refused("has no vocabulary")
    vocabulary.write_bytes(whole[vocabulary])
    assert preset_tokenizer(str(folder), 24).max_length == 24
    with pytest.raises(PresetError, match="max_length is more"):
        preset_tokenizer(str(folder), 25)


def test_kerashub_folders_that_are_not_whole(tmp_path: Path) -> None:
    preset = keras_hub(tmp_path, tiny_checkpoints.WORDS, lowercase=True)
    weights = tmp_path / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(PresetError, match="damaged"):
        describe_preset(preset)
    weights.unlink()
    with pytest.raises(PresetError, match=r"has no model\.weights\.h5"):
        describe_preset(preset)
    (tmp_path / "assets" / "tokenizer" / "vocabulary.txt").unlink()
    with pytest.raises(PresetError, match="has no vocabulary"):
        describe_preset(preset)


@pytest.mark.parametrize("preset", ["hf://a/b/c/d", "kaggle://a", "gs://bucket/folder", "no_such_name", "./nowhere"])
def test_handles_that_cannot_be_right(preset: str) -> None:
    with pytest.raises(PresetError):
        describe_preset(preset)


def test_kerashubs_names_are_known_without_importing_it() -> None:
    hub, handle = preset_names.hub_handle("bert_tiny_en_uncased")
    assert hub == "kaggle"
    assert handle.startswith("keras/bert/keras/bert_tiny_en_uncased")


def test_a_failed_download_says_why_and_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Got: no route to the hub\nand much more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(PresetError, match=r"cannot be downloaded[^G]*no route to the hub[^m]*`transom presets`"):
        describe_preset("hf://somebody/something")
