"""Names of presets: right ones are found, and wrong ones are answered with what to write."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tiny_checkpoints

from models.errors import PresetError
from models.presets import preset_names
from models.presets.families import FAMILIES
from models.presets.names.hugging_face_names import HANDLES, UNUSABLE, WITHOUT_SAFETENSORS
from models.presets.names.keras_hub_names import registered_presets
from models.presets.preset import describe_preset
from models.presets.preset_files import locate, resolve_preset
from models.presets.preset_names import MINILM, PackagedPreset, check_name

_MODEL = "google-bert/bert-base-uncased"
ADDRESSES = (
    f"https://huggingface.co/{_MODEL}",
    f"http://huggingface.co/{_MODEL}",
    f"huggingface.co/{_MODEL}",
    f"https://www.huggingface.co/{_MODEL}/",
    f"https://hf.co/{_MODEL}",
    f"https://huggingface.co/{_MODEL}/tree/main",
    f"https://huggingface.co/{_MODEL}/blob/main/config.json",
    f"https://huggingface.co/{_MODEL}?library=transformers#uses",
    f"git@hf.co:{_MODEL}.git",
)
BEGINNINGS = (
    *(f"{start}{_MODEL}" for start in ("hf:/", "hf:", "hf//", "hf:///", "HF://", "Hf:/", "hff://")),
    *(f"{start}{_MODEL}" for start in ("huggingface://", "hugging_face:/", "hf-hub:", " hf://")),
    f"hf://{_MODEL}/",
    f"hf://{_MODEL}/config.json",
    f"hf://models/{_MODEL}",
    f"hf://huggingface.co/{_MODEL}",
)
KAGGLE = "keras/bert/keras/bert_base_en_uncased/3"


@pytest.fixture
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        pytest.fail("a download was tried")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr("kagglehub.model_download", fail)


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
            ("nothing-like-it", "correct model.preset; `transom presets` lists"),
        ],
    )
    def test_a_name_that_is_no_preset_is_answered_with_what_to_write(self, name: str, written: str) -> None:
        with pytest.raises(PresetError, match="does not exist") as caught:
            describe_preset(name)
        assert written in caught.value.fix

    @pytest.mark.parametrize(
        ("name", "such_as"),
        [
            ("bert", "hf://google-bert/bert-base-uncased"),
            ("BERT", "hf://google-bert/bert-base-uncased"),
            ("bert-base", "hf://google-bert/bert-base-uncased"),
            ("distilbert", "hf://distilbert/distilbert-base-uncased"),
            ("distil_bert", "hf://distilbert/distilbert-base-uncased"),
            ("albert", "hf://albert/albert-base-v2"),
            ("roberta", "hf://FacebookAI/roberta-base"),
            ("distilroberta", "hf://distilbert/distilroberta-base"),
            ("deberta", "deberta_v3_base_en"),
            ("deberta-v2", "deberta_v3_base_en"),  # Hugging Face's `model_type` of version 3
            ("DeBERTa v3", "deberta_v3_base_en"),
            ("electra", "electra_base_discriminator_uncased_en"),
            ("bge", "hf://BAAI/bge-base-en-v1.5"),
            ("mxbai_embed", "mxbai_embed_large_v1_en"),
            ("google-bert", "hf://google-bert/bert-base-uncased"),
        ],
    )
    def test_the_name_of_a_family_a_series_or_an_owner_is_answered_with_a_checkpoint_of_it(
        self, name: str, such_as: str
    ) -> None:
        with pytest.raises(PresetError, match="does not exist") as caught:
            describe_preset(name)
        assert f"such as {such_as}" in caught.value.fix

    @pytest.mark.parametrize("family", FAMILIES)
    def test_each_family_that_can_be_used_has_a_checkpoint_to_name(self, family: str) -> None:
        for name in (family, FAMILIES[family].title, FAMILIES[family].model_type):
            with pytest.raises(PresetError, match="write the whole name of a checkpoint, such as "):
                check_name(name)

    def test_a_misspelt_family_is_answered_with_a_checkpoint_of_it(self) -> None:
        with pytest.raises(PresetError, match="did you mean hf://FacebookAI/roberta-base"):
            check_name("rberta")

    @pytest.mark.parametrize(
        ("written", "handle"),
        [
            *((address, "hf://google-bert/bert-base-uncased") for address in ADDRESSES),
            *((beginning, "hf://google-bert/bert-base-uncased") for beginning in BEGINNINGS),
            ("https://huggingface.co/somebody/something", "hf://somebody/something"),
            ("https://huggingface.co/somebody/something/tree/v2", "hf://somebody/something (for its revision v2,"),
            ("hf://somebody/something@v2", "hf://somebody/something (for its revision v2,"),
            ("https://huggingface.co/bert-base-uncased", "hf://google-bert/bert-base-uncased"),
            ("https://huggingface.co/microsoft/deberta-v3-small", "deberta_v3_small_en"),
            ("hf:all-MiniLM-L6-v2", MINILM.handle),
            ("hf://all-MiniLM-L6-v2", MINILM.handle),
            ("hf://minilm-l6", "minilm-l6;"),
            ("kaggle://bert_base_en_uncased", "bert_base_en_uncased;"),
            ("kaggle://google-bert/bert-base-uncased", "hf://google-bert/bert-base-uncased"),
            (f"https://www.kaggle.com/models/{KAGGLE}", f"kaggle://{KAGGLE};"),
            (f"kaggle:/{KAGGLE}", f"kaggle://{KAGGLE};"),
            (f"hf://{KAGGLE}", f"kaggle://{KAGGLE};"),
            (KAGGLE, f"kaggle://{KAGGLE};"),
            ("file:///models/bert", "/models/bert"),
        ],
    )
    def test_an_address_or_another_beginning_is_answered_with_the_handle(
        self, written: str, handle: str, tmp_path: Path
    ) -> None:
        for preset in (written, resolve_preset(written, tmp_path)):  # which does not take it for a folder's path
            with pytest.raises(PresetError, match="is not a handle") as caught:
                describe_preset(preset)
            assert f"write {handle}" in caught.value.fix

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


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "it is not a bidirectional encoder") for name in ("gpt2", "GPT-2", "t5", "t5-small", "llama", "qwen")),
        *((name, "it is not a bidirectional encoder") for name in ("Llama-3.1-8B", "hf://gpt2", "hf:llama")),
        ("xlm-roberta", "its SentencePiece ids are shifted"),
        ("modernbert", "its layers are not among those"),
        ("whisper", "neither its layers nor its tokenizer"),
    ],
)
def test_families_that_cannot_be_used_are_refused_with_the_reason_and_those_that_can(name: str, reason: str) -> None:
    with pytest.raises(PresetError, match=f"cannot be used: {reason}") as caught:
        describe_preset(name)
    assert all(family.title in caught.value.fix for family in FAMILIES.values())


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize(
    ("preset", "expected", "fix"),
    [
        ("hf://x", "hf://OWNER/NAME", "correct model.preset"),
        ("hf://", "hf://OWNER/NAME", "correct model.preset"),
        ("hf://a b/c", "hf://OWNER/NAME", "correct model.preset"),
        ("hf://roberta", "hf://OWNER/NAME", "such as hf://FacebookAI/roberta-base"),
        ("https://huggingface.co/datasets/stanfordnlp/imdb", "hf://OWNER/NAME", "correct model.preset"),
        ("kaggle://x", "kaggle://OWNER/MODEL/FRAMEWORK/VARIATION", "correct model.preset"),
        ("kaggle://keras/bert", "kaggle://OWNER/MODEL/FRAMEWORK/VARIATION", f"such as kaggle://{KAGGLE}"),
        ("https://www.kaggle.com/models/keras/bert", "kaggle://OWNER/MODEL", f"such as kaggle://{KAGGLE}"),
        (f"kaggle://{KAGGLE.replace('/keras/', '/kers/')}", "kaggle://OWNER/MODEL", f"did you mean kaggle://{KAGGLE}?"),
        ("https://example.com/bert.zip", "a folder; hf://OWNER/NAME", "download its files"),
        ("gs://bucket/bert", "a folder; hf://OWNER/NAME", "download its files"),
    ],
)
def test_a_handle_that_cannot_be_one_is_refused_before_a_download(preset: str, expected: str, fix: str) -> None:
    for look in (describe_preset, check_name):
        with pytest.raises(PresetError, match="is not a handle") as caught:
            look(preset)
        assert caught.value.got
        assert caught.value.expected.startswith(expected)
        assert fix in caught.value.fix


@pytest.mark.parametrize(
    "name", ["hf:/a/b", "hf:a", "https://huggingface.co/a/b", "huggingface.co/a/b", "bert", "gpt2"]
)
def test_a_folder_that_exists_is_meant_whatever_its_name_looks_like(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_checkpoints.write(tmp_path / name, "bert")
    assert resolve_preset(name, tmp_path) == str(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert locate(name) == Path(name)
    assert describe_preset(name).family == "bert"


@pytest.mark.parametrize("path", ["./hf:/a/b", "/kaggle:/a/b", "~/https://huggingface.co/a/b", "a/hf:/b", "hf/a/b"])
def test_a_path_is_not_taken_for_an_address(path: str) -> None:
    assert preset_names.is_path(path)
    with pytest.raises(PresetError, match="does not exist"):
        describe_preset(path)


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
    for document in ("docs/presets.md", "docs/kubeflow.md"):
        assert MINILM.install in " ".join((repository / document).read_text(encoding="utf-8").split())


@pytest.mark.skipif(MINILM.folder is None, reason="the package (the extra `demo`) is not installed")
def test_the_installed_package_is_complete() -> None:
    info = describe_preset("minilm-l6")
    assert (info.family, info.num_layers, info.width, info.pooling) == ("bert", 6, 384, "mean")
    assert preset_names.preset_of("sentence-transformers/all-MiniLM-L6-v2").startswith("minilm-l6 (which is installed")
