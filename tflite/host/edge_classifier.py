"""Predicts with an edge bundle. Needs ai-edge-litert and NumPy, not TensorFlow.

from tflite.host.edge_classifier import EdgeClassifier

EdgeClassifier("bundle/").predict(["so good"])
# [Prediction(score=0.98, label="pos", probabilities={"neg": 0.02, "pos": 0.98})]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .errors import ModelError
from .host_tokenizer import HostTokenizer
from .labels import LabelSpace
from .manifest import MODEL_FILE, Manifest
from .prediction import Prediction, check_pairs
from .tokenizer import Tokenizer


class EdgeClassifier:
    """A loaded bundle.

    Args:
        bundle: the folder that `transom edge export` or a run wrote.
        threads: CPU threads of one prediction.
        check: compare the files with the hashes recorded in the bundle.

    Raises:
        ModelError: the folder is not a bundle, or its files have changed.
    """

    def __init__(self, bundle: Path | str, *, threads: int = 1, check: bool = True) -> None:
        self.bundle = Path(bundle)
        self.manifest = Manifest.load(self.bundle)
        if check:
            self.manifest.check_files(self.bundle)
        self.labels = LabelSpace.load(self.bundle)
        self.tokenizer = HostTokenizer(Tokenizer.load(self.bundle))
        self.model = EdgeModel(self.bundle / MODEL_FILE, self.manifest, threads=threads)

    def predict(self, texts: Sequence[str | bytes], pairs: Sequence[str | bytes] | None = None) -> list[Prediction]:
        """Predicts the texts, in order.

        Args:
            texts: any strings; bytes are decoded as UTF-8.
            pairs: the second texts, one for each text, for a model of text pairs.

        Raises:
            ModelError: pairs for a model of single texts, no pairs for a model of pairs, or a different number of them.
        """
        check_pairs(self.bundle, self.manifest.pairs, len(texts), None if pairs is None else len(pairs))
        rows = zip(texts, pairs if pairs is not None else [None] * len(texts), strict=True)
        return [self._prediction(self.model(*self.tokenizer(text, pair))) for text, pair in rows]

    def _prediction(self, values: np.ndarray) -> Prediction:
        manifest, names = self.manifest, self.labels.labels
        numbers = [float(value) for value in values]
        if manifest.task == "regression":
            return Prediction(numbers[0])
        if manifest.task == "single_label":
            label = names[int(values.argmax())]
        else:
            given = [name for name, value in zip(names, numbers, strict=True) if value >= manifest.threshold]
            label = manifest.label_separator.join(given)
        return Prediction(max(numbers), label, dict(zip(names, numbers, strict=True)))


class EdgeModel:
    """A .tflite file that predicts from token ids.

    Args:
        file: its path, which is memory-mapped, or its content.
        manifest: its signatures.
        threads: CPU threads of one prediction.

    Raises:
        ModelError: LiteRT cannot run it.
    """

    def __init__(self, file: Path | bytes, manifest: Manifest, *, threads: int = 1) -> None:
        self._manifest, self._name = manifest, "the model" if isinstance(file, bytes) else str(file)
        source = {"model_content": file} if isinstance(file, bytes) else {"model_path": str(file)}
        try:
            self._interpreter = Interpreter(**source, num_threads=threads)
            names = {length: manifest.signature(length) for length in manifest.lengths}
            self._runners = {n: self._interpreter.get_signature_runner(name) for n, name in names.items()}
        except (ValueError, RuntimeError) as error:
            raise self._cannot_run(error) from error

    def __call__(self, token_ids: Sequence[int], segment_ids: Sequence[int]) -> np.ndarray:
        """The output for one row, [C] float32, of the shortest signature that holds it."""
        features = self._manifest.features(token_ids, segment_ids)
        try:
            outputs: dict[str, Any] = self._runners[features["token_ids"].shape[1]](**features)
        except RuntimeError as error:  # an unsupported kernel fails at the first run
            raise self._cannot_run(error) from error
        output: np.ndarray = outputs[self._manifest.output][0]
        return output

    def _cannot_run(self, error: Exception) -> ModelError:
        signatures = ", ".join(map(self._manifest.signature, self._manifest.lengths))
        return ModelError(
            f"{self._name} cannot be run",
            got=(str(error).splitlines() or [type(error).__name__])[0],
            expected=f"a .tflite file with the signatures {signatures}",
            fix="export the bundle again",
        )
