"""Finds a checkpoint's files and checks that they are complete. Imports no TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import safetensors

from models.errors import PresetError
from models.presets.preset_names import hub_handle, is_path, packaged_folder

_HUB_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "*.h5"]
_SAFETENSORS, _SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
_KERAS_WEIGHTS, _KERAS_INDEX = "model.weights.h5", "model.weights.json"


def locate(preset: str) -> Path:
    """The local folder of a preset; a hub handle is downloaded by its hub's client, into that client's cache.

    A name of `PACKAGED` is the package's folder whatever lies in the current folder; the project's own folders come as
    absolute paths (`resolve_preset`).

    Raises:
        PresetError: no such folder, name or handle, its package is not installed, or the download failed.
    """
    packaged = packaged_folder(preset)
    if packaged is not None:
        return packaged
    folder = Path(preset).expanduser()
    if folder.is_dir():
        return folder
    hub, handle = hub_handle(preset)
    # The clients raise these and subclasses of them (requests' errors are OSErrors).
    try:
        if hub == "hf":
            return Path(_hugging_face_download(handle))
        import kagglehub

        return Path(kagglehub.model_download(handle))
    except (OSError, ValueError, RuntimeError) as error:
        raise PresetError(
            f"preset {preset!r} cannot be downloaded",
            got=str(error).splitlines()[0].removeprefix("Got: ") if str(error) else type(error).__name__,
            fix="check the handle and the network; `transom presets` says how to get the files on another machine",
        ) from error


def resolve_preset(preset: str, base: Path) -> str:
    """An absolute path if a folder of this name, or a path, is meant, relative to the project's folder `base`."""
    if (base / preset).is_dir():
        return str((base / preset).resolve())
    return str(base / preset) if is_path(preset) and not preset.startswith("~") else preset


def _hugging_face_download(handle: str) -> str:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(huggingface_hub.snapshot_download(handle, allow_patterns=_HUB_PATTERNS))
    except HfHubHTTPError as error:
        raise ValueError(str(error)) from error


def model_folder(preset: str, folder: Path) -> Path:
    """The folder that holds config.json: older sentence-transformers keep it in the first module's folder.

    Raises:
        PresetError: there is none.
    """
    if (folder / "config.json").is_file():
        return folder
    for module in _modules(preset, folder):
        if (folder / str(module.get("path")) / "config.json").is_file():
            return folder / str(module["path"])
    raise PresetError(
        f"preset folder {folder} has no config.json",
        got=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
        expected="a folder written by transformers' save_pretrained or KerasHub's save_to_preset",
        fix="use the folder that holds config.json",
    )


def sentence_pooling(preset: str, folder: Path) -> str | None:
    """The pooling of a sentence-transformers folder ("cls", "mean", "max", …); None for other folders."""
    root = folder if (folder / "modules.json").is_file() else folder.parent
    for module in _modules(preset, root):
        file = root / str(module.get("path")) / "config.json"
        if str(module.get("type", "")).endswith(".Pooling") and file.is_file():
            config = read_json(preset, file)
            names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
            modes = [
                names.get(key, key) for key, on in config.items() if key.startswith("pooling_mode_") and on is True
            ]
            return "+".join(modes) or config.get("pooling_mode")
    return None


def _modules(preset: str, folder: Path) -> list[dict[str, Any]]:
    file = folder / "modules.json"
    return list(read_json(preset, file)) if file.is_file() else []


def read_json(preset: str, file: Path) -> Any:
    """A JSON file of a preset.

    Raises:
        PresetError: it is not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PresetError(
            f"{file.name} of preset {preset!r} cannot be read", got=str(error), fix="download the checkpoint again"
        ) from error


def safetensors_files(preset: str, folder: Path) -> tuple[Path, ...]:
    """The weights of a Hugging Face folder, each opened once to check that it is complete.

    Raises:
        PresetError: there are none, or only pickled ones, or one is truncated.
    """
    files = [folder / _SAFETENSORS]
    if (folder / _SAFETENSORS_INDEX).is_file():
        index = read_json(preset, folder / _SAFETENSORS_INDEX)
        files = [folder / name for name in sorted(set(index.get("weight_map", {}).values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        raise PresetError(
            f"preset folder {folder} has no {missing[0]}",
            got=f"{', '.join(pickles)}, which is a pickle and could run code" if pickles else "no weights",
            expected="weights as safetensors",
            fix="save the checkpoint with transformers' save_pretrained(…, safe_serialization=True)",
        )
    for file in files:
        try:
            with safetensors.safe_open(file, framework="np"):
                pass
        except (safetensors.SafetensorError, OSError) as error:
            raise damaged(preset, file, error) from error
    return tuple(files)


def keras_weights(preset: str, folder: Path) -> tuple[Path, ...]:
    """The weights of a KerasHub folder, each opened once to check that it is complete.

    Raises:
        PresetError: there are none, or one is truncated.
    """
    files = [folder / _KERAS_WEIGHTS]
    if not files[0].is_file() and (folder / _KERAS_INDEX).is_file():
        shards = read_json(preset, folder / _KERAS_INDEX).get("weight_map", {}).values()
        names = {name for shard in shards for name in (shard if isinstance(shard, list) else [shard])}
        files = [folder / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise PresetError(
                f"preset folder {folder} has no {file.name}", fix="save it with KerasHub's save_to_preset"
            )
        try:
            h5py.File(file, "r").close()
        except OSError as error:
            raise damaged(preset, file, error) from error
    return tuple(files)


def damaged(preset: str, file: Path, error: Exception) -> PresetError:
    return PresetError(
        f"weights {file.name} of preset {preset!r} are damaged",
        got=f"{file.stat().st_size} bytes: {error}",
        fix="download the checkpoint again",
    )
