"""`transom edge`: bundles from the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import asdict
from typing import Any

from models.runtime import prepare
from pipeline.console import silence
from pipeline.predict import read_texts

_CONSTANTS_SHOWN = 10


def export(options: argparse.Namespace) -> int:
    """Writes a bundle; see `transom edge export --help`."""
    texts, pairs = read_texts(options.file) if options.file is not None else ([], [])
    prepare()
    with contextlib.nullcontext() if options.verbose else silence():
        from tflite.export import export_bundle

        manifest = export_bundle(
            options.model,
            options.bundle,
            variant=options.variant,
            lengths=options.length,
            texts=texts,
            pairs=pairs or None,
        )
    size = manifest.report["bytes"][manifest.variant]
    print(f"wrote {options.bundle}: {manifest.variant}, {size / 1e6:.2f} MB, up to {max(manifest.lengths)} tokens")
    print(f'ask it: transom edge run {options.bundle} "some text"')
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Prints what a bundle holds; see `transom edge inspect --help`."""
    from tflite import flatbuffer
    from tflite.manifest import MODEL_FILE, Manifest
    from tflite.metadata import associated_files

    manifest = Manifest.load(options.bundle)
    manifest.check_files(options.bundle)
    path = options.bundle / MODEL_FILE
    content = path.read_bytes()
    model = flatbuffer.read(content, str(path))
    constants = flatbuffer.constants(model)
    found: dict[str, Any] = {
        "name": manifest.name,
        "task": manifest.task,
        "variant": manifest.variant,
        "bytes": len(content),
        "signatures": [manifest.signature(length) for length in manifest.lengths],
        "operations": dict(flatbuffer.operations(model).most_common()),
        "constants": [asdict(one) for one in constants],
        "associated_files": {name: len(data) for name, data in associated_files(content).items()},
    }
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    print(f"{manifest.name}: {manifest.task}, {manifest.variant}, {len(content):,} bytes")
    print(f"signatures: {', '.join(found['signatures'])}")
    print(f"inside: {', '.join(found['associated_files']) or 'no files'}")
    print("operations: " + ", ".join(f"{name} {count}" for name, count in found["operations"].items()))
    print(f"constants, the largest of {len(constants)}:")
    for one in constants[:_CONSTANTS_SHOWN]:
        print(f"  {one.size:>12,}  {one.dtype:8} {list(one.shape)!s:16} {one.name}")
    return 0
