"""Handles: what the hubs' clients accept, and what addresses point to."""

from __future__ import annotations

import pytest

from models.presets.names.hub_handles import Reference, is_handle, points_to_a_hub, read_reference
from models.presets.names.hugging_face_names import HANDLES, UNUSABLE
from models.presets.names.keras_hub_names import registered_presets

_MODEL = "https://huggingface.co/a/b"


def test_the_known_handles_can_be_handles() -> None:
    assert all(is_handle("hf", handle) for handle in (*HANDLES, *UNUSABLE))
    assert all(is_handle("kaggle", preset.handle) for preset in registered_presets().values())


@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta-large-mnli", "albert-xxlarge-v2", "distilroberta-base"])
def test_the_oldest_models_have_a_handle_without_an_owner(name: str) -> None:
    assert is_handle("hf", name)


@pytest.mark.parametrize("handle", ["", "x", "a/b/c", "a/b/", "a//b", "a/b@main", "a/b c", "a/b--c", "a/b.git", "-a/b"])
def test_what_cannot_be_hugging_faces(handle: str) -> None:
    assert not is_handle("hf", handle)


@pytest.mark.parametrize("handle", ["a/b/keras/c", "a/b/keras/c/1", "a/b/tensorFlow2/c", "a/b/pyTorch/c/12"])
def test_what_can_be_kaggles(handle: str) -> None:
    assert is_handle("kaggle", handle)
    assert not is_handle("gs", handle)


@pytest.mark.parametrize("handle", ["", "a", "a/b", "a/b/keras", "a/b/keras/", "a//keras/c", "a/b/kers/c"])
def test_what_cannot_be_kaggles(handle: str) -> None:
    assert not is_handle("kaggle", handle)


@pytest.mark.parametrize("version", ["v1", "0", "-1", "", "1/2"])
def test_what_cannot_be_a_version_on_kaggle(version: str) -> None:
    assert not is_handle("kaggle", f"a/b/keras/c/{version}")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (_MODEL, Reference("hf", "a/b", page=True)),
        (f"{_MODEL}/tree/main", Reference("hf", "a/b", page=True)),
        (f"{_MODEL}/tree/v2/folder", Reference("hf", "a/b", page=True, revision="v2")),
        (f"{_MODEL}/resolve/v2/config.json", Reference("hf", "a/b", page=True, revision="v2")),
        (f"{_MODEL}/discussions/3", Reference("hf", "a/b", page=True)),
        ("https://huggingface.co/api/models/a/b", Reference("hf", "a/b", page=True)),
        ("https://huggingface.co/bert-base-cased/tree/main", Reference("hf", "bert-base-cased", page=True)),
        ("https://huggingface.co/datasets/a/b", Reference("hf", page=True)),
        ("https://huggingface.co/models?search=bert", Reference("hf", page=True)),
        ("https://huggingface.co", Reference("hf", page=True)),
        ("ssh://git@hf.co/a/b.git", Reference("hf", "a/b", page=True)),
        ("https://www.kaggle.com/models/a/b/keras/c/2?x=y", Reference("kaggle", "a/b/keras/c/2", page=True)),
        ("kaggle.com/models/a/b/keras/c", Reference("kaggle", "a/b/keras/c", page=True)),
        (
            "https://www.kaggle.com/models/a/b/frameworks/keras/variations/c/versions/2",
            Reference("kaggle", "a/b/keras/c/2", page=True),
        ),
        ("https://www.kaggle.com/datasets/a/b", Reference("kaggle", page=True)),
        ("kaggle://models/a/b/keras/c", Reference("kaggle", "a/b/keras/c")),
        ("kagglehub:a/b/keras/c", Reference("kaggle", "a/b/keras/c")),
        ("https://huggingface.co.example.com/a/b", Reference("")),
        ("https://example.com/huggingface.co/a/b", Reference("")),
        ("s3://a/b", Reference("")),
    ],
)
def test_what_a_text_points_to(text: str, reference: Reference) -> None:
    assert read_reference(text) == reference


@pytest.mark.parametrize("text", ["bert", "a/b", "a/b/c", "./hf:/a", "C:/a/b", "hf", "hf/a/b", "kaggle/a"])
def test_names_and_paths_point_to_no_hub(text: str) -> None:
    assert not points_to_a_hub(text)
    assert read_reference(text) is None
