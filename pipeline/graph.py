"""The graph: the steps, the settings of each, and the artifacts that flow between them."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types import BaseChannel

from components.preset_fingerprint import PresetDigests
from components.steps.baselines import Baselines
from components.steps.data_gate import DataGate
from components.steps.evaluator import Evaluator
from components.steps.example_gen import example_gen
from components.steps.live_model import WHEN_RUN, LiveModel
from components.steps.schema_gen import SchemaGen
from components.steps.shipping.edge_exporter import EdgeExporter
from components.steps.shipping.edge_gate import EdgeGate
from components.steps.shipping.pusher import Pusher
from components.steps.shipping.report_step import Report
from components.steps.shipping.serving_gate import ServingGate
from components.steps.statistics_gen import ExampleValidator, StatisticsGen
from components.steps.tokenizer_trainer import TokenizerTrainer
from components.steps.trainer import Trainer
from components.steps.transform import Transform
from models.config import ModelConfig, ModelsConfig, PresetConfig
from models.presets.preset_files import resolve_preset
from models.training.elsewhere.installed_packages import environment_key
from models.training.eval_metrics import deciding_metric
from pipeline import project_names
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from tflite.host.json_text import to_json


def build(config: ProjectConfig, paths: Paths) -> Pipeline:
    """The TFX pipeline of a project. Each step gets only its own part of the configuration.

    That makes the cache exact: a step runs again when its part, its code or its inputs change.
    """
    model = with_local_preset(config.model, paths)
    curated = paths.base / config.data.schema_path if config.data.schema_path is not None else None

    version = None if paths.container_base is None else WHEN_RUN

    preset = PresetDigests.from_config(model, config.tokenizer, runs_here=paths.container_base is None)
    folder = model.preset if isinstance(model, PresetConfig) else None
    reading: dict[str, Any] = {"tokenizer": config.tokenizer, "preset": folder, "digest": preset.tokenizer}

    ingest = example_gen(config.data, config.task, paths.container_base or paths.base, **reading)
    examples = ingest.outputs["examples"]
    statistics = StatisticsGen(examples, config.task)
    schema = SchemaGen(statistics.outputs["statistics"], config.task, curated)
    validator = ExampleValidator(statistics.outputs["statistics"], schema.outputs["schema"])
    live = LiveModel(directory=str(paths.push), version=version)
    gate = DataGate(
        examples=examples,
        anomalies=validator.outputs["anomalies"],
        live_model=live.outputs["live_model"],
        gate=config.gate,
        task=config.task,
        curated=curated is not None,
        **reading,
    )
    baselines = _baselines_step(config, examples, after=gate)
    tokenizer = TokenizerTrainer(
        examples, task=config.task, tokenizer=config.tokenizer, model=model, digest=preset.tokenizer
    )
    # An order, not an input: after each push the gate runs again, for drift; training must not.
    tokenizer.add_upstream_node(gate)  # see `pipeline.steps.BEGINS_EARLY`
    transform = Transform(examples, tokenizer.outputs["tokenizer"], task=config.task)
    backend = config.train.backend
    trainer = Trainer(
        transform.outputs["transformed_examples"],
        tokenizer.outputs["tokenizer"],
        config=_stored_config(config, model),
        checkpoints=str(paths.checkpoints),
        preset=preset.model,
        backend="" if backend == "tensorflow" else environment_key(backend),
    )
    trainer.add_upstream_node(gate)
    evaluator = Evaluator(
        examples,
        trainer.outputs["model"],
        live.outputs["live_model"],
        baselines[0].outputs["baselines"] if baselines else None,
        task=config.task,
        evaluation=config.evaluation,
        # A user judges models by the task's metric, whatever chose the epoch.
        training_metric=deciding_metric(config.task, config.train, stacked=False),
    )
    served = ServingGate(examples, trainer.outputs["model"], task=config.task, serving=config.serving)
    served.add_upstream_node(evaluator)
    edge = _edge_steps(config, examples, trainer.outputs["model"], after=served)
    pusher = Pusher(
        trainer.outputs["model"],
        evaluator.outputs["blessing"],
        gate.outputs["blessing"],
        evaluator.outputs["evaluation"],
        served.outputs["blessing"],
        bundles=edge[0].outputs["bundles"] if edge else None,
        edge_blessing=edge[1].outputs["blessing"] if edge else None,
        directory=str(paths.push),
        edge_directory=str(paths.edge),
        keep=config.push.keep,
        card=config.card,
        version=version,
    )
    report = _report_step(config, paths, gate, trainer, evaluator, served, edge, pusher)
    components = [
        ingest,
        statistics,
        schema,
        validator,
        live,
        gate,
        *baselines,
        tokenizer,
        transform,
        trainer,
        evaluator,
        served,
        *edge,
        pusher,
        *report,
    ]
    for component in components:
        if isinstance(component.executor_spec, BeamExecutorSpec):
            # Not `add_beam_pipeline_args`, which would extend the list that all components of the class share.
            component.executor_spec.beam_pipeline_args = config.beam.arguments(component.id)
    return Pipeline(
        pipeline_name=config.name if paths.container_base is None else project_names.kubeflow_name(config.name),
        pipeline_root=str(paths.root),
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(paths.metadata)),
    )


def _baselines_step(config: ProjectConfig, examples: BaseChannel, after: BaseNode) -> list[BaseNode]:
    """The step that fits the baselines; none if they are all off."""
    wanted = config.evaluation.baselines
    if wanted.majority == wanted.linear == "off":
        return []
    baselines = Baselines(examples, task=config.task, baselines=wanted)
    baselines.add_upstream_node(after)
    return [baselines]


def _edge_steps(config: ProjectConfig, examples: BaseChannel, model: BaseChannel, after: BaseNode) -> list[BaseNode]:
    """The steps that export and judge the edge bundles; none if no variant is configured."""
    if not config.edge.variants:
        return []
    exporter = EdgeExporter(examples, model, task=config.task, edge=config.edge, card=config.card)
    exporter.add_upstream_node(after)
    bundles = exporter.outputs["bundles"]
    gate = EdgeGate(examples, model, bundles, task=config.task, edge=config.edge, evaluation=config.evaluation)
    return [exporter, gate]


def _report_step(
    config: ProjectConfig,
    paths: Paths,
    gate: BaseNode,
    trainer: BaseNode,
    evaluator: BaseNode,
    served: BaseNode,
    edge: list[BaseNode],
    pusher: BaseNode,
) -> list[BaseNode]:
    """The step that writes the run's page; none if the steps run here."""
    if paths.container_base is None:
        return []
    return [
        Report(
            gate.outputs["blessing"],
            trainer.outputs["model_run"],
            evaluator.outputs["evaluation"],
            served.outputs["blessing"],
            pusher.outputs["pushed_model"],
            edge[1].outputs["blessing"] if edge else None,
            config=to_json(config.model_dump(mode="json", exclude={"beam", "kubeflow"})),
        )
    ]


def with_local_preset(model: ModelConfig, paths: Paths) -> ModelConfig:
    """The model's configuration, with an absolute path if the preset is a folder. Names and handles stay: the steps
    look for their files where they run."""
    if not isinstance(model, PresetConfig):
        return model
    if paths.container_base is None:
        return model.model_copy(update={"preset": resolve_preset(model.preset, paths.base)})
    if (paths.base / model.preset).is_dir():
        return model.model_copy(update={"preset": str(paths.preset or paths.container_base / model.preset)})
    return model


def _stored_config(config: ProjectConfig, model: ModelConfig) -> dict[str, Any]:
    """The configuration that is stored with a model: everything that determines the model.

    The schema's path does not: its content reaches the model through SchemaGen.
    """
    stored = config.model_dump(mode="json", include={*ModelsConfig.model_fields, "data"})
    stored["data"].pop("schema_path")
    stored["evaluation"] = config.evaluation.model_dump(mode="json", include={"calibrate"})
    return {**stored, "model": model.model_dump(mode="json"), "name": config.name}
