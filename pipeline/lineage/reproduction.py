"""`transom reproduce`: trains a model again by its lineage, and compares the two. Without TensorFlow until then."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lineage.lineage_facts import Lineage
from components.lineage.origin import origin
from models.errors import ConfigError, ReproductionError, os_errors_as
from pipeline.configuration.loading import load
from pipeline.lineage.lineage_reading import FoundLineage, printable, read_lineage
from pipeline.lineage.origin_differences import Difference, computing_differences, find_differences, known_reasons
from pipeline.lineage.reproduced_config import check_reproducible, reproduced_config
from pipeline.runs.temporary_folders import scratch_folder
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from pipeline.lineage.weight_comparison import VariableDifference

CONFIG_NAME = "transom.yaml"
IDENTICAL, OTHER_GRAPH, DIFFERENT = "identical", "other graph", "different"
_LAST_STEP = "Trainer"
_MOST_VARIABLES = 12


def reproduce(
    model: Path,
    *,
    into: Path | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    as_json: bool = False,
    verbose: bool = False,
) -> int:
    """Trains the model of a version again, in a folder of its own, and says whether the weights are the same.

    Args:
        model: a version, a push folder or an output folder.
        into: a new or empty folder for the run; default: a temporary one.
        data: the folder to which relative paths of the configuration are relative now.
        overrides: see `reproduced_config`.

    Returns:
        0: the weights are the same, bit by bit.

    Raises:
        ReproductionError: they are not.
        TransomError: the model cannot be trained again; a run's own errors.
    """
    found = read_lineage(model)
    check_reproducible(found)
    lineage = found.lineage
    base = _base(lineage, data)
    text = reproduced_config(lineage, base, overrides)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder()) if into is None else _new_folder(into)
        config_file = folder / CONFIG_NAME
        with os_errors_as(ConfigError, f"{config_file} cannot be written", fix="choose another folder with --into"):
            config_file.write_text(text, encoding="utf-8")
        differences = find_differences(lineage, origin(load(config_file).train.backend))
        _tell_start(found, base, differences, as_json)
        trained = _train(config_file, as_json, verbose)
        if into is None and not as_json:
            print("(the run's folder is temporary, and removed at the end: --into FOLDER keeps one)")
        return _compare(found, trained, differences, as_json)


def _base(lineage: Lineage, data: Path | None) -> Path:
    """The folder of the tables: the given one, else the original if it is there, else the current one."""
    if data is not None:
        if not data.is_dir():
            raise ConfigError("--data", got=str(data), expected="the folder to which data.path is relative")
        return data.resolve()
    original = Path(lineage.run.folder or lineage.data.folder or ".")
    return original if original.is_absolute() and original.is_dir() else Path.cwd()


def _new_folder(into: Path) -> Path:
    with os_errors_as(ConfigError, f"--into {into}", expected="a folder that can be written"):
        into.mkdir(parents=True, exist_ok=True)
        if next(into.iterdir(), None) is not None:
            raise ConfigError("--into", got=f"{into}, which is not empty", expected="a new or an empty folder")
    return into.resolve()


def _tell_start(found: FoundLineage, base: Path, differences: Sequence[Difference], as_json: bool) -> None:
    if as_json:
        listed = [vars(one) for one in differences]
        event = {"event": "reproducing", "model": str(found.folder), "data": str(base), "differences": listed}
        print(to_json(event), flush=True)
        return
    print(printable(f"training {found.lineage.model.name or 'the model'} again, version {found.folder.name}"))
    print(f"the tables, relative to {printable(str(base))}, have the same contents")
    if differences:
        print("different from when it was trained:")
        for one in differences:
            print(printable(f"  {one.render()}"))
    else:
        print("code, packages and machine are those it was trained with", flush=True)
    sys.stdout.flush()


def _train(config_file: Path, as_json: bool, verbose: bool) -> Path:
    """Runs the pipeline up to the trained model; returns its folder."""
    from pipeline.runs.pipeline_run import run

    outputs: dict[str, Any] = {}
    run(config_file, [], to_step=_LAST_STEP, as_json=as_json, verbose=verbose, outputs=outputs)
    from tfx.utils import path_utils

    return Path(path_utils.serving_model_path(outputs[_LAST_STEP]["model"].uri))


def _compare(found: FoundLineage, trained: Path, differences: list[Difference], as_json: bool) -> int:
    """Says what is the same, and returns 0 if all weights are."""
    from models.saved.model_identity import model_digest
    from pipeline.lineage.weight_comparison import compare_weights

    count, variables = compare_weights(found.folder, trained)
    digests = model_digest(found.folder), model_digest(trained)
    same_graph = digests[0] is not None and digests[0] == digests[1]
    result = DIFFERENT if variables else IDENTICAL if same_graph else OTHER_GRAPH
    now = read_lineage(trained).lineage
    seen = [*differences, *computing_differences(found.lineage.training, now.training)]
    event = {
        "event": "reproduced",
        "result": result,
        "variables": count,
        "different": [vars(one) for one in variables],
        "digest": {"lineage": found.lineage.model.digest, "then": digests[0], "now": digests[1]},
        "reasons": known_reasons(seen) if variables else [],
    }
    if as_json:
        print(to_json(event), flush=True)
    else:
        for line in _lines(found.lineage, result, count, variables, digests):
            print(line)
    if not variables:
        return 0
    raise _different(count, len(variables), known_reasons(seen))


def _different(count: int, different: int, reasons: Sequence[str]) -> ReproductionError:
    seen = f"known reasons that were seen: {'; '.join(reasons)}" if reasons else "no known reason was seen"
    return ReproductionError(
        "the weights are different",
        got=f"{different} of {count} variables with other values; {seen}",
        expected="the same bits",
        fix="train where these are the same as then: `transom lineage` names them"
        if reasons
        else "the same code, packages and machine should give the same bits: please report it",
    )


def _lines(
    lineage: Lineage,
    result: str,
    count: int,
    variables: Sequence[VariableDifference],
    digests: tuple[str | None, str | None],
) -> list[str]:
    lines = []
    if lineage.model.digest not in (None, digests[0]):
        lines.append("note: the files of this version have been changed: they are not the model that was pushed")
    if result == IDENTICAL:
        lines.append(f"identical: all {count} variables have the same bits, and the graph computes the same")
        lines.append(f"digest   {digests[1]}")
    elif result == OTHER_GRAPH:
        lines.append(f"identical weights: all {count} variables have the same bits")
        lines.append("but another graph: it computes otherwise with them, or the settings are written otherwise")
        lines += [f"digest   {digests[0]} then", f"         {digests[1]} now"]
    else:
        lines.append(f"different: {len(variables)} of {count} variables; the largest absolute difference of each:")
        for one in variables[:_MOST_VARIABLES]:
            size = one.why if one.largest is None else f"{one.largest:.3g} ({one.values:,} values)"
            lines.append(printable(f"  {one.name}: {size}"))
        if len(variables) > _MOST_VARIABLES:
            lines.append(f"  and {len(variables) - _MOST_VARIABLES} more: see --json")
    return lines
