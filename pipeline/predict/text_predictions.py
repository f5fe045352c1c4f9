"""`transom predict`: prints a model's predictions for texts from the command line, a file or standard input."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from models.errors import ConfigError
from models.runtime import prepare
from models.saved.model_locations import is_bundle, newest_version
from pipeline.predict import input_texts
from pipeline.predict.input_texts import InputText
from pipeline.terminal.user_messages import silence
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from serving.client import Prediction as ServedPrediction
    from tflite.host.prediction import Prediction

# Texts per call of the model: enough for full batches, few enough to show progress.
_WINDOW = 512


Predict: TypeAlias = "Callable[[list[str], list[str] | None], Sequence[Prediction | ServedPrediction]]"


def predict(
    model: str,
    texts: list[str],
    pairs: list[str],
    file: Path | None,
    *,
    columns: Sequence[str] = (),
    served: str | None = None,
    as_json: bool,
    verbose: bool = False,
) -> int:
    """Prints the prediction for each text, in order; see `transom predict --help`.

    An empty text is not sent to the model: it gets an empty line (with `as_json` an object whose score is null), so
    that outputs stay aligned with inputs. Their number is reported on standard error.

    Args:
        model: a folder, or the URL of a server.
        columns: the columns of the table `file` with the texts, instead of those that the model was trained on.
        served: the name of the served model, if the URL does not end with it.

    Raises:
        ConfigError: no texts, texts and pairs of different number, or no such URL.
        DataError: the file cannot be read.
        ModelError: there is no model, or it takes other inputs.
    """
    from serving.client.endpoint import is_url

    remote = is_url(model)
    if served is not None and not remote:
        raise ConfigError("transom predict", got=f"--model and the folder {model}", expected="--model only with a URL")
    inputs = read_inputs(texts, pairs, file, None if remote else Path(model), columns)
    empty = [one for one in inputs if one.empty]
    # Only if there is a text to predict: a model takes seconds to load.
    asking = _open_model(model, served, verbose) if len(empty) < len(inputs) else contextlib.nullcontext()
    with _Progress(len(inputs)) as progress:
        if not remote and len(empty) < len(inputs):
            progress.loading()
        with asking as predict_texts:
            _print_all(inputs, predict_texts, progress, as_json=as_json)
    if empty:
        _report_empty(empty, len(inputs))
    return 0


def read_inputs(
    texts: list[str], pairs: list[str], file: Path | None, model: Path | None, columns: Sequence[str] = ()
) -> list[InputText]:
    """The inputs that the command line names.

    Args:
        model: the folder of the model; None for a server.

    Raises:
        ConfigError: there are no inputs, or the arguments contradict each other.
        DataError: the file cannot be read.
    """
    if file is not None:
        if texts or pairs:
            raise ConfigError("transom predict", got="texts and --file", expected="one of them")
        return input_texts.from_file(file, model, columns)
    if columns:
        raise ConfigError("transom predict", got="--column without --file", expected="a table, as --file")
    if not texts:
        if sys.stdin.isatty():
            raise ConfigError("transom predict", got="no text", expected="texts, --file, or lines on standard input")
        return input_texts.from_standard_input()
    if pairs and len(pairs) != len(texts):
        raise ConfigError(
            "transom predict", got=f"{len(texts)} texts and {len(pairs)} pairs", expected="a --pair for each text"
        )
    return input_texts.from_arguments(texts, pairs)


@contextlib.contextmanager
def _open_model(model: str, served: str | None, verbose: bool) -> Iterator[Predict]:
    """The prediction function of the model, which is loaded once."""
    from serving.client.endpoint import is_url

    if is_url(model):
        from pipeline.predict import served_predictions

        with served_predictions.open_served_model(model, served) as predict_texts:
            yield predict_texts
        return
    folder = Path(model)
    if not is_bundle(folder):
        newest_version(folder)  # raises before TensorFlow is loaded
    with contextlib.nullcontext() if verbose else silence():
        yield _load(folder)


def _load(folder: Path) -> Predict:
    if is_bundle(folder):
        from tflite.host.edge_classifier import EdgeClassifier

        return EdgeClassifier(folder).predict
    prepare()
    from models.saved.predictor import load

    return load(folder).predict


def _print_all(inputs: list[InputText], predict_texts: Predict | None, progress: _Progress, *, as_json: bool) -> None:
    regression = False
    progress.start()
    for begin in range(0, len(inputs), _WINDOW):
        window = inputs[begin : begin + _WINDOW]
        full = [one for one in window if not one.empty]
        predictions = _predict_window(full, predict_texts) if predict_texts is not None else ()
        regression = regression or any(prediction.label is None for prediction in predictions)
        remaining = iter(predictions)
        for one in window:
            prediction = None if one.empty else next(remaining)
            print(_as_json(one, prediction, regression) if as_json else _as_line(one, prediction))
        progress.reached(begin + len(window))


def _predict_window(inputs: list[InputText], predict_texts: Predict) -> Sequence[Prediction | ServedPrediction]:
    if not inputs:
        return ()
    pairs = None if inputs[0].pair is None else [one.pair or "" for one in inputs]
    return predict_texts([one.text for one in inputs], pairs)


def _as_json(one: InputText, prediction: Prediction | ServedPrediction | None, regression: bool) -> str:
    nothing: dict[str, Any] = {"score": None} if regression else {"score": None, "label": None, "probabilities": {}}
    fields = nothing if prediction is None else prediction.as_dict()
    return to_json({**one.location, "text": one.text, **fields})


def _as_line(one: InputText, prediction: Prediction | ServedPrediction | None) -> str:
    """One line for one text; in a table's text, which may have line breaks, white space becomes single spaces."""
    if prediction is None:
        return ""
    return f"{prediction.line()}\t{' '.join(one.text.split()) if 'row' in one.location else one.text}"


def _report_empty(empty: list[InputText], count: int) -> None:
    def name(one: InputText) -> str:
        return next((f"{kind} {one.location[kind]:,}" for kind in ("line", "row") if kind in one.location), "")

    shown = ", ".join(filter(None, map(name, empty[:5])))
    rest = f" and {len(empty) - 5:,} more" if len(empty) > 5 else ""
    where = f" ({shown}{rest})" if shown else ""
    were = "was empty and" if len(empty) == 1 else "were empty and"
    print(f"transom: {len(empty):,} of {count:,} texts {were} skipped{where}", file=sys.stderr)


class _Progress:
    """A line on the terminal while the model is loaded, then one with the number of predictions so far.

    If the predictions themselves are printed on the terminal, only the first line is shown. Create it before the
    libraries are silenced: it keeps a copy of standard error.
    """

    def __init__(self, count: int) -> None:
        self._count, self._begin = count, 0.0
        self._counting = count > _WINDOW and not sys.stdout.isatty()
        shown = sys.stderr.isatty()
        self._stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") if shown else None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._show("")
            self._stream.close()

    def loading(self) -> None:
        """Called before the model is loaded, which takes seconds with TensorFlow."""
        self._show("loading the model")

    def start(self) -> None:
        self._begin = time.monotonic()
        self._show("")

    def reached(self, done: int) -> None:
        if not self._counting:
            return
        seconds = time.monotonic() - self._begin
        left = seconds / done * (self._count - done)
        line = f"{done:,} of {self._count:,} texts, {done / max(seconds, 1e-9):,.0f}/s, {left:,.0f} s left"
        self._show(line)

    def _show(self, line: str) -> None:
        if self._stream is not None:
            print(f"\r{line}\x1b[K", end="", file=self._stream, flush=True)
