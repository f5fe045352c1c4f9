"""A preset's files in the cache keys: those that the tokenizer and the model read, and no others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tiny_checkpoints
from safetensors.numpy import load_file, save_file

from components.preset_fingerprint import UNKNOWN_DIGEST, PresetDigests, describe_checked_preset, load_checked_tokenizer
from models.config import EncoderConfig, PresetConfig, TokenizerConfig
from models.errors import PresetError

TOKENIZER = TokenizerConfig(max_length=16)


def _digests(preset: Path | str) -> PresetDigests:
    return PresetDigests.from_config(PresetConfig(preset=str(preset)), TOKENIZER, runs_here=True)


def _other_weights(folder: Path) -> None:
    """A file of the same size, with the same times."""
    file = folder / "model.safetensors"
    before, tensors = file.stat(), load_file(file)
    name = sorted(tensors)[0]
    save_file({**tensors, name: np.flip(tensors[name]).copy()}, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def _config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _pooling(folder: Path) -> None:
    (folder / "modules.json").write_text(json.dumps([{"path": "1_P", "type": "sentence_transformers.models.Pooling"}]))
    (folder / "1_P").mkdir()
    (folder / "1_P" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))


def _words(folder: Path) -> None:
    (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text().replace("good", "fine"))


def _cased(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')


CHANGES: dict[Callable[[Path], None], tuple[bool, bool]] = {  # of the tokenizer, of the model
    _other_weights: (False, True),
    lambda folder: _config(folder, hidden_act="relu"): (False, True),
    _pooling: (False, True),
    _words: (True, False),
    _cased: (True, False),
    lambda folder: (folder / "README.md").write_text("# New"): (False, False),
    lambda folder: (folder / "pytorch_model.bin").write_bytes(b"pickle"): (False, False),
    lambda folder: os.utime(folder / "model.safetensors", (1, 1)): (False, False),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_presets_files_affect_the_steps_that_read_them(change: Callable[[Path], None], tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    before = _digests(tmp_path)
    change(tmp_path)
    after = _digests(tmp_path)
    assert (after.tokenizer != before.tokenizer, after.model != before.model) == CHANGES[change]


@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_a_digest_does_not_depend_on_the_folder(kind: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path / "one", kind)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    before = _digests(tmp_path / "one")
    assert before == _digests(tmp_path / "two")
    _other_weights(tmp_path / "one")
    assert before.model != _digests(tmp_path / "one").model
    assert len({before.tokenizer, before.model, ""}) == 3


def test_another_revision_of_a_hub_handle_is_another_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = iter("aab")
    for name in "ab":
        tiny_checkpoints.write(tmp_path / name, "bert")
    _other_weights(tmp_path / "b")
    # Each use of the handle downloads it, once for the tokenizer and once for the weights.
    looks = (str(tmp_path / name) for name in revisions for _ in range(2))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: next(looks))
    first, same, newer = (_digests("hf://somebody/bert") for _ in range(3))
    assert first == same
    assert first.model != newer.model


def test_a_step_refuses_files_that_changed_since_the_start(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    config, digests = PresetConfig(preset=str(tmp_path)), _digests(tmp_path)
    assert describe_checked_preset(config, digests.model) is not None
    tokenizer = load_checked_tokenizer(config.preset, TOKENIZER, digests.tokenizer)
    _other_weights(tmp_path)
    assert load_checked_tokenizer(config.preset, TOKENIZER, digests.tokenizer) == tokenizer
    with pytest.raises(PresetError, match="changed while the pipeline ran"):
        describe_checked_preset(config, digests.model)
    _words(tmp_path)
    with pytest.raises(PresetError, match="changed while the pipeline ran"):
        load_checked_tokenizer(config.preset, TOKENIZER, digests.tokenizer)


def test_files_on_another_machine_are_not_compared_with_local_ones(tmp_path: Path) -> None:
    absent = PresetConfig(preset=str(tmp_path / "absent"))
    assert PresetDigests.from_config(absent, TOKENIZER, runs_here=False) == PresetDigests(
        UNKNOWN_DIGEST, UNKNOWN_DIGEST
    )
    tiny_checkpoints.write(tmp_path, "bert")
    assert describe_checked_preset(PresetConfig(preset=str(tmp_path)), UNKNOWN_DIGEST) is not None
    assert PresetDigests.from_config(EncoderConfig(), TOKENIZER, runs_here=True) == PresetDigests()
    assert describe_checked_preset(EncoderConfig(), "") is None
