"""`transom edge`: writes, queries, measures and inspects bundles for phones and small devices."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.errors import ConfigError
from pipeline.commands.arguments import Commands, add_command, add_file, add_group, add_texts
from pipeline.commands.shipping.predict import predict
from pipeline.terminal.wrapping import wrapped_for
from tflite.convert.variants import VARIANTS

_BUNDLE = "a bundle, a folder of versions, or a run's output folder"
_CONSTANTS_SHOWN = 10


def add(commands: Commands) -> None:
    steps = add_group(commands, "edge", "write, query and inspect bundles for small devices")
    _add_export(steps)
    _add_run(steps)
    _add_bench(steps)
    _add_inspect(steps)


def _add_export(steps: Commands) -> None:
    parser = add_command(
        steps,
        "export",
        export,
        "write a bundle",
        "Converts a pushed model to a .tflite file with MediaPipe's metadata, and writes it with its tokenizer, "
        "labels, golden texts and a README to BUNDLE, a new folder. `transom run` does that for several variants, "
        "measures them and pushes the smallest that passes (`edge:` in transom.yaml); here, --file compares the "
        "bundle's predictions with Keras's.",
        """
        transom edge export reviews-out bundle                             int8, of the newest pushed version
        transom edge export reviews-out small --variant weight_int4 --file texts.txt
        """,
    )
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="output folder, push folder or version folder")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder to write")
    parser.add_argument(
        "--variant",
        choices=VARIANTS,
        default="dynamic_int8",
        help="how the weights are stored: docs/edge.md (default: %(default)s)",
    )
    parser.add_argument(
        "--length",
        type=int,
        action="append",
        default=[],
        metavar="TOKENS",
        help="add a signature for this many tokens; may be given several times (default: the model's longest input)",
    )
    add_file(parser, "real texts, as a table or one per line: compared with Keras's predictions; they calibrate int8")


def _add_run(steps: Commands) -> None:
    parser = add_command(
        steps,
        "run",
        run,
        "query a bundle",
        "Prints the label and score of each text, as `transom predict` does, without TensorFlow.",
        """
        transom edge run reviews-out "so good"         the bundle that the last run pushed
        transom edge run bundle --file texts.txt
        """,
    )
    parser.add_argument("model", type=Path, metavar="BUNDLE", help=_BUNDLE)
    add_texts(parser)


def _add_bench(steps: Commands) -> None:
    parser = add_command(
        steps,
        "bench",
        bench,
        "measure bundles on this machine",
        "Measures size, loading time, memory and time per row, each bundle in a separate process with only "
        "LiteRT and NumPy; the last column compares with the first bundle. Times depend on this machine and its load.",
        """
        transom edge bench reviews-out bundle          the pushed bundle against another
        """,
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help=_BUNDLE)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=100, help="rows for each signature (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object per bundle")


def _add_inspect(steps: Commands) -> None:
    parser = add_command(
        steps,
        "inspect",
        inspect,
        "print the contents of a bundle",
        "Prints the signatures, the operations, the largest constants and the files.",
        """
        transom edge inspect reviews-out
        """,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help=_BUNDLE)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def export(options: argparse.Namespace) -> int:
    from models.runtime import prepare
    from pipeline.predict.input_texts import from_file
    from pipeline.runs.temporary_folders import temporary_folder
    from pipeline.terminal.user_messages import silence
    from tflite.host.manifest import MODEL_FILE

    rows = [] if options.file is None else from_file(options.file, options.model, options.column)
    rows = [row for row in rows if not row.empty]
    prepare()
    with temporary_folder(), contextlib.nullcontext() if options.verbose else silence():
        from tflite.bundle_export import export_bundle

        manifest = export_bundle(
            options.model,
            options.bundle,
            variant=options.variant,
            lengths=options.length,
            texts=[row.text for row in rows],
            pairs=[row.pair or "" for row in rows] if any(row.pair is not None for row in rows) else None,
        )
    size = (options.bundle / MODEL_FILE).stat().st_size
    print(f"wrote {options.bundle}: {manifest.variant}, {size / 1e6:.2f} MB, up to {max(manifest.lengths)} tokens")
    parity = manifest.report.get("parity")
    if parity:
        print(
            f"same prediction as Keras for {100 * parity['agreement']:.1f}% of {parity['rows']} rows, "
            f"largest difference {parity['max_difference']:.4f}"
        )
    print(f'query it: transom edge run {options.bundle} "some text"')
    return 0


def run(options: argparse.Namespace) -> int:
    from models.saved.model_locations import newest_bundle

    options.model, options.served = str(newest_bundle(options.model)), None
    return predict(options)


def bench(options: argparse.Namespace) -> int:
    from models.saved.model_locations import newest_bundle
    from pipeline.reports.run_tables import print_costs
    from tflite.host.json_text import to_json
    from tflite.host.manifest import Manifest
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
    from models.saved.model_locations import newest_bundle
    from tflite.bundle.mediapipe_metadata import associated_files
    from tflite.convert import flatbuffer
    from tflite.host.json_text import to_json
    from tflite.host.manifest import MODEL_FILE, Manifest

    bundle = newest_bundle(options.bundle)
    manifest = Manifest.load(bundle)
    manifest.check_files(bundle)
    path = bundle / MODEL_FILE
    content = path.read_bytes()
    model = flatbuffer.read(content, str(path))
    constants = flatbuffer.constants(model)
    contents: dict[str, Any] = {
        "name": manifest.name,
        "task": manifest.task,
        "variant": manifest.variant,
        "bytes": len(content),
        "signatures": [manifest.signature(length) for length in manifest.lengths],
        "operations": dict(flatbuffer.operations(model).most_common()),
        "constants": [asdict(constant) for constant in constants],
        "associated_files": {name: len(data) for name, data in associated_files(content).items()},
    }
    if options.json:
        print(to_json(contents))
        return 0
    print(f"{manifest.name}: {manifest.task}, {manifest.variant}, {len(content):,} bytes")
    print(f"signatures: {', '.join(contents['signatures'])}")
    print(f"files inside: {', '.join(contents['associated_files']) or 'none'}")
    counted = ", ".join(f"{name} {count}" for name, count in contents["operations"].items())
    print(wrapped_for(sys.stdout, f"operations: {counted}"))
    print(f"constants, the largest of {len(constants)}:")
    for constant in constants[:_CONSTANTS_SHOWN]:
        print(f"  {constant.size:>12,}  {constant.dtype:8} {list(constant.shape)!s:16} {constant.name}")
    return 0
