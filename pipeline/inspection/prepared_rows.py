"""The rows of a project as its training reads them, and as its tables have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.baselines.text_rows import record_key
from components.data.rows import Record
from components.tf_examples import from_examples, read_batches
from models.config import ModelsConfig, PresetConfig
from models.presets.preset import describe_preset
from models.training.fusion import resolve_linear_part
from models.training.token_rows import TokenRows
from models.training.training_request import Request
from pipeline.config import ProjectConfig
from pipeline.graph import with_local_preset
from pipeline.paths import Paths
from pipeline.runs.row_places import add_places
from pipeline.steps import BEFORE_TRAINING
from tflite.host.labels import LabelSpace

if TYPE_CHECKING:
    from pipeline.runs.local.local_runner import Outputs

_LONGEST = 200  # characters of a text in a report


@dataclass(frozen=True)
class PreparedRows:
    """What the steps up to Transform have made.

    Attributes:
        folder: for the rows as arrays; the caller's, and temporary.
    """

    config: ProjectConfig
    paths: Paths
    outputs: Outputs
    folder: Path

    @property
    def models_config(self) -> ModelsConfig:
        """The project's settings of the model and its training."""
        sections: dict[str, Any] = {name: getattr(self.config, name) for name in ModelsConfig.model_fields}
        sections["model"] = with_local_preset(self.config.model, self.paths)
        return ModelsConfig(**sections)

    def request(self, config: ModelsConfig) -> Request:
        """The project's training with other settings, without folders for checkpoints and logs."""
        for split in ("train", "eval"):
            files, outputs = self._files(BEFORE_TRAINING, "transformed_examples", split), self.labels.outputs
            TokenRows.from_tfrecords(files, self.folder / split, outputs=outputs, task=config.task.type)
        model = resolve_linear_part(config.model, len(TokenRows.stored(self.folder / "eval")))
        return Request(
            config.model_copy(update={"model": model}),
            tokenizer=self._tokenizer,
            train_rows=self.folder / "train",
            eval_rows=self.folder / "eval",
            architecture=describe_preset(model.preset) if isinstance(model, PresetConfig) else None,
            calibrate=False,
        )

    def describe(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The training rows of these indices, for people: text (shortened), label, and where they are in the tables.

        Returns:
            In the same order: "row", "text", "text_pair" (None without one), "label" (of several: a list; of a
            regression: a number) and "places" (as `pipeline.runs.row_places.add_places` gives them).
        """
        wanted = set(rows)
        found: dict[int, dict[str, Any]] = {}
        for index, record in enumerate(self._records()):
            if index in wanted:
                found[index] = _described(index, record, self.config.task.type)
            if len(found) == len(wanted):
                break
        described = [found[row] for row in rows if row in found]
        add_places(described, self.config, self.paths.base)
        for one in described:
            del one["given"]
        return described

    @property
    def labels(self) -> LabelSpace:
        return LabelSpace.load(self._tokenizer)

    @property
    def _tokenizer(self) -> Path:
        return Path(self.outputs["TokenizerTrainer"]["tokenizer"].uri)

    def _files(self, step: str, output: str, split: str) -> list[str]:
        return sorted(str(path) for path in Path(self.outputs[step][output].uri, f"Split-{split}").iterdir())

    def _records(self) -> Iterator[Record]:
        """The rows that train, in the order of `TokenRows`, which Transform keeps: without those of unknown labels."""
        task, known = self.config.task, set(self.labels.labels)
        for batch in read_batches(self._files("ExampleGen", "examples", "train")):
            for text, pair, labels, number, others in from_examples(batch, task).values():
                if task.type != "single_label" or labels[0] in known:
                    yield Record(text, pair, tuple(labels), number, others)


def _described(index: int, record: Record, task: str) -> dict[str, Any]:
    label = {"single_label": record.labels[:1], "multi_label": record.labels}.get(task, ())
    return {
        "row": index,
        "text": shortened(record.text),
        "text_pair": None if record.text_pair is None else shortened(record.text_pair),
        "label": record.number if task == "regression" else list(label) if task == "multi_label" else label[0],
        "key": record_key(record),
        "given": list(record.labels),
    }


def shortened(text: str) -> str:
    """The beginning of a text, without characters that a terminal would not print as they are."""
    begin = text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in begin)
