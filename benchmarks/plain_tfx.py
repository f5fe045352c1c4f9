"""Plain TFX on a table: the peer of `growth.py` and `overhead.py`, written as TFX's own templates are.

    python benchmarks/plain_tfx.py TABLE.csv FOLDER [--to Transform] [--as-it-comes]

CsvExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform, Trainer, Evaluator and Pusher, with a Keras
encoder as small as that of the other side. Beam runs in memory, or (--as-it-comes) as in TFX's templates: in a process
for each core. Prints the seconds of each step as JSON. The table has the columns `text` and `label`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import tensorflow_model_analysis as tfma
import tfx.v1 as tfx
from tfx.orchestration.portable import launcher

AS_IT_COMES = ["--direct_running_mode=multi_processing", "--direct_num_workers=0"]
STEPS = [
    "CsvExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "Pusher",
]


def main() -> int:
    """Runs the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", choices=STEPS, default=STEPS[-1], help="the last step")
    parser.add_argument("--as-it-comes", action="store_true")
    options = parser.parse_args()
    data = options.folder / "data"
    data.mkdir(parents=True)
    rows = numbered_labels(options.table, data / "table.csv")
    sys.argv = sys.argv[:1]
    seconds = measured_steps()
    tfx.orchestration.LocalDagRunner().run(pipeline(options, data, rows))
    print(json.dumps({"steps": seconds}))
    return 0


def numbered_labels(table: Path, target: Path) -> int:
    """Writes the table with numbers for labels, as TFMA reads them; returns the number of rows."""
    with table.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        numbers: dict[str, int] = {}
        count = 0
        for row in csv.DictReader(source):
            writer.writerow([row["text"], numbers.setdefault(row["label"], len(numbers))])
            count += 1
    return count


def measured_steps() -> dict[str, float]:
    """Has TFX's launcher write down the seconds of each step."""
    seconds: dict[str, float] = {}
    launch = launcher.Launcher.launch

    def measured(self: launcher.Launcher) -> object:
        begin = time.monotonic()
        result = launch(self)
        seconds[self._pipeline_node.node_info.id] = round(time.monotonic() - begin, 3)
        return result

    launcher.Launcher.launch = measured
    return seconds


def pipeline(options: argparse.Namespace, data: Path, rows: int) -> tfx.dsl.Pipeline:
    """The pipeline, up to `options.to`."""
    module = str(Path(__file__).with_name("plain_tfx_module.py"))
    examples = tfx.components.CsvExampleGen(input_base=str(data))
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"], schema=schema.outputs["schema"], module_file=module
    )
    trainer = tfx.components.Trainer(
        module_file=module,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(num_steps=2 * (rows * 2 // 3) // 32),
        eval_args=tfx.proto.EvalArgs(num_steps=(rows // 3) // 32),
    )
    threshold = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.1}))
    metric = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=threshold)
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        eval_config=tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(signature_name="serving_default", label_key="label")],
            slicing_specs=[tfma.SlicingSpec()],
            metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
        ),
    )
    destination = tfx.proto.PushDestination.Filesystem(base_directory=str(options.folder / "pushed"))
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(filesystem=destination),
    )
    steps = [examples, statistics, schema, validator, transform, trainer, evaluator, pusher]
    return tfx.dsl.Pipeline(
        pipeline_name="plain",
        pipeline_root=str(options.folder / "artifacts"),
        components=steps[: STEPS.index(options.to) + 1],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(options.folder / "metadata.sqlite")
        ),
        beam_pipeline_args=AS_IT_COMES if options.as_it_comes else [],
    )


if __name__ == "__main__":
    sys.exit(main())
