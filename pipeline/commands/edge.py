"""`transom edge`: bundles from the command line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict
from typing import Any

from models.errors import ConfigError
from models.runtime import prepare
from models.saved.model_locations import newest_bundle
from pipeline.predict.input_texts import from_file
from pipeline.runs.run_tables import print_costs
from pipeline.runs.temporary_folders import temporary_folder
from pipeline.terminal.console import silence
from tflite.host.json_text import to_json
from tflite.host.manifest import MODEL_FILE, Manifest

_CONSTANTS_SHOWN = 10


def export(options: argparse.Namespace) -> int:
    """Writes a bundle; see `transom edge export --help`."""
    given = [] if options.file is None else from_file(options.file, options.model, options.column)
    given = [one for one in given if not one.empty]
    prepare()
    with temporary_folder(), contextlib.nullcontext() if options.verbose else silence():
        from tflite.bundle_export import export_bundle

        manifest = export_bundle(
            options.model,
            options.bundle,
            variant=options.variant,
            lengths=options.length,
            texts=[one.text for one in given],
            pairs=[one.pair or "" for one in given] if any(one.pair is not None for one in given) else None,
        )
    size = (options.bundle / MODEL_FILE).stat().st_size
    print(f"wrote {options.bundle}: {manifest.variant}, {size / 1e6:.2f} MB, up to {max(manifest.lengths)} tokens")
    parity = manifest.report.get("parity")
    if parity:
        print(
            f"{100 * parity['agreement']:.1f}% of {parity['rows']} rows have Keras's answer, "
            f"largest difference {parity['max_difference']:.4f}"
        )
    print(f'ask it: transom edge run {options.bundle} "some text"')
    return 0


def run(options: argparse.Namespace) -> int:
    """Asks a bundle; see `transom edge run --help`."""
    from pipeline.predict.text_predictions import predict

    folder = newest_bundle(options.model)
    return predict(
        str(folder),
        options.texts,
        options.pair,
        options.file,
        columns=options.column,
        as_json=options.json,
        verbose=options.verbose,
    )


def bench(options: argparse.Namespace) -> int:
    """Measures bundles; see `transom edge bench --help`."""
    from tflite.measure.cost import measure_cost

    for name in ("threads", "runs"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name}", got=str(getattr(options, name)), expected="1 or more")
    folders = [newest_bundle(folder) for folder in options.bundles]
    costs = []
    for folder in folders:
        Manifest.load(folder).check_files(folder)
        costs.append(measure_cost(folder, threads=options.threads, runs=options.runs))
        if options.json:
            print(to_json({"bundle": str(folder), **asdict(costs[-1])}, ascii=True), flush=True)
    if not options.json:
        print_costs([str(folder) for folder in options.bundles], costs, sys.stdout)
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Prints what a bundle holds; see `transom edge inspect --help`."""
    from tflite.bundle.mediapipe_metadata import associated_files
    from tflite.convert import flatbuffer

    bundle = newest_bundle(options.bundle)
    manifest = Manifest.load(bundle)
    manifest.check_files(bundle)
    path = bundle / MODEL_FILE
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
        print(to_json(found))
        return 0
    print(f"{manifest.name}: {manifest.task}, {manifest.variant}, {len(content):,} bytes")
    print(f"signatures: {', '.join(found['signatures'])}")
    print(f"inside: {', '.join(found['associated_files']) or 'no files'}")
    print("operations: " + ", ".join(f"{name} {count}" for name, count in found["operations"].items()))
    print(f"constants, the largest of {len(constants)}:")
    for one in constants[:_CONSTANTS_SHOWN]:
        print(f"  {one.size:>12,}  {one.dtype:8} {list(one.shape)!s:16} {one.name}")
    return 0
