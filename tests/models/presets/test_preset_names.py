"""Names of presets: right ones are found, and wrong ones are answered with what to write."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tiny_checkpoints

from models.errors import PresetError
from models.presets import preset_names
from models.presets.families import FAMILIES
from models.presets.hugging_face_names import HANDLES, UNUSABLE, WITHOUT_SAFETENSORS
from models.presets.preset import describe_preset
from models.presets.preset_files import locate, resolve_preset
from models.presets.preset_names import MINILM, PackagedPreset, check_name, registered_presets


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PackagedPreset, "folder", None)


@pytest.mark.usefixtures("not_installed")
class TestWithoutThePackage:
    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("bert-base-uncased", "write hf://google-bert/bert-base-uncased;"),
            ("google-bert/bert-base-uncased", "write hf://google-bert/bert-base-uncased;"),
            ("BERT-base-uncased", "write hf://google-bert/bert-base-uncased;"),
            ("distilbert-base-uncased", "write hf://distilbert/distilbert-base-uncased;"),
            ("roberta-base", "write hf://FacebookAI/roberta-base;"),
            ("albert-base-v2", "write hf://albert/albert-base-v2;"),
            ("all-MiniLM-L6-v2", "write hf://sentence-transformers/all-MiniLM-L6-v2;"),
            ("sentence-transformers/all-MiniLM-L6-v2", "write hf://sentence-transformers/all-MiniLM-L6-v2;"),
            ("microsoft/deberta-v3-small", "write deberta_v3_small_en "),
            ("bert-base-uncasd", "did you mean hf://google-bert/bert-base-uncased?"),
            ("bert_tiny_en_uncase", "did you mean bert_tiny_en_uncased?"),
            ("bert-tiny-en-uncased", "did you mean bert_tiny_en_uncased?"),
            ("minilm", "did you mean minilm-l6?"),
            ("MiniLM-L6", "did you mean minilm-l6?"),
            ("facebook/bart-base", "if it is a model on Hugging Face's hub, write hf://facebook/bart-base;"),
            ("nothing-like-it", "`transom presets` lists"),
        ],
    )
    def test_a_name_that_is_no_preset_is_answered_with_what_to_write(self, name: str, written: str) -> None:
        with pytest.raises(PresetError, match="does not exist") as caught:
            describe_preset(name)
        assert written in caught.value.fix

    def test_the_packages_name_is_answered_with_the_command_that_installs_it(self) -> None:
        with pytest.raises(PresetError, match="'minilm-l6' is not installed") as caught:
            describe_preset("minilm-l6")
        assert MINILM.install in caught.value.fix
        check_name("minilm-l6")  # on another machine it may be installed


def test_the_packages_folder_is_used_whatever_the_current_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_checkpoints.write(tmp_path / "package", "bert")
    monkeypatch.setattr(PackagedPreset, "folder", tmp_path / "package")
    (tmp_path / "minilm-l6").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("minilm-l6") == tmp_path / "package"
    info = describe_preset("minilm-l6")
    assert (info.preset, info.folder) == ("minilm-l6", tmp_path / "package")
    assert info.digest() == describe_preset(str(tmp_path / "package")).digest()
    # but a folder of the project is meant
    assert resolve_preset("minilm-l6", tmp_path) == str(tmp_path / "minilm-l6")


def test_a_path_is_relative_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert resolve_preset("./bert", tmp_path) == str(tmp_path / "bert")  # which does not exist: no other is taken
    assert resolve_preset("bert", tmp_path / "here") == str(tmp_path / "here" / "bert")
    assert resolve_preset("hf://a/b", tmp_path) == "hf://a/b"
    with pytest.raises(PresetError, match="does not exist"):
        describe_preset(resolve_preset("./bert", tmp_path))


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(PresetError, match="is a file") as caught:
        describe_preset(str(tmp_path / "model.safetensors"))
    assert str(tmp_path) in caught.value.fix


@pytest.mark.parametrize("name", ["xlm-roberta-base", "FacebookAI/xlm-roberta-base", "all-mpnet-base-v2", "bge-m3"])
def test_models_that_cannot_be_used_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(PresetError, match=r"cannot be used: (its SentencePiece|KerasHub has no)"):
        check_name(name)


@pytest.mark.parametrize("name", ["xlm_roberta_base_multi", "gpt2_base_en"])
def test_names_of_kerashubs_other_families_are_refused_before_a_download(name: str) -> None:
    with pytest.raises(PresetError, match="cannot be used"):
        describe_preset(name)


def test_kerashubs_names_have_a_versioned_handle_and_a_family_that_can_be_used() -> None:
    presets = registered_presets()
    assert {"bert_tiny_en_uncased", "roberta_base_en", "deberta_v3_small_en"} <= set(presets)
    for name, preset in presets.items():
        check_name(name)
        assert preset.family in FAMILIES
        assert preset.handle.split("/")[-1].isdecimal()


def test_the_tables_of_names_agree() -> None:
    assert not set(HANDLES) & set(UNUSABLE)
    assert set(WITHOUT_SAFETENSORS) <= set(HANDLES)
    assert set(WITHOUT_SAFETENSORS.values()) <= set(registered_presets())
    assert MINILM.handle.removeprefix("hf://") in HANDLES


def test_the_package_is_the_one_that_the_extra_installs(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert MINILM.package in project["optional-dependencies"]["demo"]
    for document in ("README.md", "docs/kubeflow.md"):
        assert MINILM.install in " ".join((repository / document).read_text(encoding="utf-8").split())


@pytest.mark.skipif(MINILM.folder is None, reason="the package (the extra `demo`) is not installed")
def test_the_installed_package_is_complete() -> None:
    info = describe_preset("minilm-l6")
    assert (info.family, info.num_layers, info.width, info.pooling) == ("bert", 6, 384, "mean")
    assert preset_names.preset_of("sentence-transformers/all-MiniLM-L6-v2").startswith("minilm-l6 (which is installed")
