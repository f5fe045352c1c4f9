"""ExampleGen: tables of any format become splits of tf.Example.

TFX's own CsvExampleGen breaks at line ends inside quotes and hashes whole rows, so the readers are Transom's.
Everything else (driver, span resolution, caching, the artifact) is TFX's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2
from tfx.components import FileBasedExampleGen
from tfx.components.example_gen import driver, input_processor, utils
from tfx.components.util import examples_utils
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from components.artifacts import Artifacts
from components.config import DataConfig
from components.data.formats.files import abbreviate, contents_digest, find_files, newest_span, newest_values
from components.data.splits import Source, sources, split_names
from components.data.text_keys import READING_KEYS, load_text_reading
from components.fingerprint import fingerprint
from components.lineage.table_facts import TABLES_FILE, table_facts
from components.tables_to_examples import plan_shards, write_examples
from components.tf_examples import set_row_counts
from components.tfx_step import BeamExecutor
from models.config import TaskConfig, TokenizerConfig
from models.errors import DataError
from tflite.host.json_text import to_json


def example_gen(
    data: DataConfig,
    task: TaskConfig,
    base: Path,
    *,
    tokenizer: TokenizerConfig | None = None,
    preset: str | None = None,
    digest: str = "",
) -> FileBasedExampleGen:
    """The component that reads the tables.

    Its `examples` have the splits `splits.split_names(data)`: train and eval always, test if it is given or hashed.
    Features are those of `tf_examples.to_example`. Rows stay in the order of their files.

    Args:
        base: the folder that relative paths are relative to.
        tokenizer, preset: decide which texts are the same for `data.dedupe`.
        digest: of the preset's tokenizer, see `components.preset_fingerprint`.
    """
    return TableExampleGen(
        input_base=str(base),
        input_config=example_gen_pb2.Input(splits=_splits(data)),
        output_config=example_gen_pb2.Output(),
        custom_config=_pack(data, task, tokenizer or TokenizerConfig(), preset, digest),
        custom_executor_spec=executor_spec.BeamExecutorSpec(Executor),
    )


def _splits(data: DataConfig) -> list[Any]:
    """TFX's splits: a pattern each."""
    return [
        example_gen_pb2.Input.Split(name=f"{source.key}-{index}", pattern=pattern)
        for source in sources(data)
        for index, pattern in enumerate(source.patterns)
    ]


def _pack(
    data: DataConfig, task: TaskConfig, tokenizer: TokenizerConfig, preset: str | None, digest: str
) -> example_gen_pb2.CustomConfig:
    """The settings that affect the examples: changing any other setting does not read the data again."""
    data_keys = {"path", "train", "eval", "test", "format", "split_by", "dedupe"} | (
        {"splits"} if data.path is not None else set()
    )
    task_keys = {"type", "text", "text_pair", "label"}
    task_keys |= {"label_separator"} if task.type == "multi_label" else set()
    task_keys |= {"decimal"} if task.type == "regression" else set()
    reading = tokenizer.model_dump(mode="json", include=READING_KEYS) if data.dedupe else {}
    settings = {
        "data": data.model_dump(mode="json", include=data_keys),
        "task": task.model_dump(mode="json", include=task_keys),
        "tokenizer": reading,
        "preset": preset if data.dedupe else None,
        "digest": digest if data.dedupe else "",
        "code": fingerprint(__name__),
    }
    custom = example_gen_pb2.CustomConfig()
    custom.custom_config.Pack(
        struct_pb2.Struct(fields={"json": struct_pb2.Value(string_value=to_json(settings, ascii=True))})
    )
    return custom


def _fingerprint(patterns: Mapping[str, str], base: Path) -> str:
    """The names and contents of the files, by the name of their input split."""
    return "\n".join(f"{name}:{contents_digest(find_files(pattern, base))}" for name, pattern in patterns.items())


class InputProcessor(input_processor.FileBasedInputProcessor):
    """TFX's, with two changes: splits without a span are allowed, and the cache key depends on the files' contents.

    TFX's own fingerprint consists of sizes and modification times: it misses a change within a second, and files that
    were only copied are read again.
    """

    def __init__(
        self,
        input_base: str,
        splits: Iterable[Any],
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        self._all = list(splits)
        self._spanned = [split for split in self._all if any(utils.verify_split_pattern_specs(split))]
        super().__init__(input_base, self._spanned or self._all, range_config)

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """The newest span. TFX's own method takes a folder's name such as "project [v2]" for a pattern."""
        found = {split.pattern: self._newest(split.pattern) for split in self._spanned}
        if len(set(found.values())) > 1:
            raise DataError(
                f"data: no span for {', '.join(found)}",
                got=", ".join(f"{pattern}: {span}" for pattern, (span, _) in found.items()),
                expected="the same newest span in every split that has {SPAN}",
                fix="put the span in place, or name the files",
            )
        return next(iter(found.values()), (0, None))

    def _newest(self, pattern: str) -> tuple[int, int | None]:
        values = {name: int(value) for name, value in newest_values(pattern, Path(self._input_base_uri)).items()}
        date = ("YYYY", "MM", "DD")
        span = values["SPAN"] if "SPAN" in values else utils.date_to_span_number(*(values[part] for part in date))
        return span, values.get("VERSION")

    def get_pattern_for_span_version(self, pattern: str, span: int, version: int | None) -> str:
        spanned = any(split.pattern == pattern for split in self._spanned)
        return newest_span(pattern, Path(self._input_base_uri)) if spanned else pattern

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        patterns = {split.name: self.get_pattern_for_span_version(split.pattern, span, version) for split in self._all}
        return _fingerprint(patterns, Path(self._input_base_uri))


class Driver(driver.FileBasedDriver):
    """TFX's driver with `InputProcessor`."""

    def get_input_processor(
        self,
        splits: Iterable[Any],
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> InputProcessor:
        return InputProcessor(input_base_uri or "", splits, range_config)


class TableExampleGen(FileBasedExampleGen):
    """`FileBasedExampleGen` with `Driver`. Its id stays `ExampleGen`."""

    DRIVER_CLASS = Driver

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.with_id("ExampleGen")


class Executor(BeamExecutor):
    """Reads the files that the driver resolved and writes the splits."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes `Split-*/data_tfrecord-*.gz`, and `tables.json`: which files they were made from.

        Raises:
            DataError: a file, a row or a value cannot be read.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = unpack_settings(exec_properties)
        data, task = DataConfig.model_validate(settings["data"]), TaskConfig.model_validate(settings["task"])
        reading = None
        if data.dedupe:
            reading = load_text_reading(TokenizerConfig.model_validate(settings["tokenizer"]), settings["preset"])
        names = split_names(data)
        examples = artifact_utils.get_single_instance(output_dict[specs.EXAMPLES_KEY])
        examples.split_names = artifact_utils.encode_split_names(list(names))
        files = _files(data, exec_properties)
        shards = plan_shards(files, data.format, task)
        targets = {name: artifact_utils.get_split_uri([examples], name) for name in names}
        rows = write_examples(shards, data.format, task, reading, targets, self.gatherer)
        _write_facts(data, files, rows, exec_properties, Path(examples.uri))
        _check_unchanged(exec_properties)
        set_row_counts(examples, rows)
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")


def unpack_settings(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """The settings that `_pack` packed."""
    custom = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[specs.CUSTOM_CONFIG_KEY], custom)
    struct = struct_pb2.Struct()
    custom.custom_config.Unpack(struct)
    settings: dict[str, Any] = json.loads(struct["json"])
    return settings


def _check_unchanged(exec_properties: dict[str, Any]) -> None:
    """Refuses files that are no longer those by which the driver looked for a former result.

    Raises:
        DataError: their names or contents have changed.
    """
    resolved = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[specs.INPUT_CONFIG_KEY], resolved)
    patterns = {split.name: split.pattern for split in resolved.splits}
    before = exec_properties[utils.FINGERPRINT_PROPERTY_NAME]
    after = _fingerprint(patterns, Path(exec_properties[specs.INPUT_BASE_KEY]))
    if after != before:
        changed = [
            patterns[name]
            for name, old, new in zip(patterns, before.split("\n"), after.split("\n"), strict=True)
            if old != new
        ]
        raise DataError(
            f"data: {abbreviate(changed)} changed while being read",
            got="other contents after the last row than before the first",
            expected="files that nobody writes to",
            fix="run again when they are complete",
        )


def _write_facts(
    data: DataConfig,
    files: list[tuple[Source, Path]],
    rows: Mapping[str, int],
    exec_properties: dict[str, Any],
    folder: Path,
) -> None:
    patterns = {source.key: source.patterns for source in sources(data)}
    spans = any(any(utils.verify_split_pattern_specs(split)) for split in _splits(data))
    version = exec_properties.get(utils.VERSION_PROPERTY_NAME)
    span = int(exec_properties.get(utils.SPAN_PROPERTY_NAME, 0)), None if version is None else int(version)
    facts = table_facts(
        Path(exec_properties[specs.INPUT_BASE_KEY]),
        patterns,
        {key: [path for source, path in files if source.key == key] for key in patterns},
        rows=rows,
        span=span if spans else None,
    )
    (folder / TABLES_FILE).write_text(to_json(facts.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def _files(data: DataConfig, exec_properties: dict[str, Any]) -> list[tuple[Source, Path]]:
    """The files of each source, with spans as the driver resolved them."""
    resolved = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[specs.INPUT_CONFIG_KEY], resolved)
    base = Path(exec_properties[specs.INPUT_BASE_KEY])
    found = []
    for source in sources(data):
        patterns = tuple(split.pattern for split in resolved.splits if split.name.rpartition("-")[0] == source.key)
        source = dataclasses.replace(source, patterns=patterns)
        found += [(source, path) for path in find_files(patterns, base, f"data.{source.key}")]
    return found
