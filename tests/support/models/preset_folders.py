"""Folders of tiny presets, as Hugging Face and KerasHub lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import tiny_checkpoints


def hugging_face(folder: Path, kind: str = "bert", tokenizer: dict | None = None, **changes: object) -> str:
    tiny_checkpoints.write(folder, kind, **changes)
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return str(folder)


def keras_hub(folder: Path, words: list[str], **switches: bool) -> str:
    """A folder as KerasHub's save_to_preset lays it out; its weights are a valid, empty HDF5 file."""
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
