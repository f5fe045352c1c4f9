"""A metadata store as TFX writes one, with the artifacts that it names."""

from __future__ import annotations

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.paths import Paths
from pipeline.runs.store.artifact_files import record_files

STEPS = ("ExampleGen", "Transform", "LiveModel")


def connect(paths: Paths) -> metadata_store.MetadataStore:
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(paths.metadata)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(config)


def fill(paths: Paths) -> None:
    """Writes a store like TFX's, and the folders that it names. Only LiveModel's is empty."""
    made = connect(paths)
    kind = pb.ArtifactType(name="Examples", properties={"span": pb.INT})
    type_id = made.put_artifact_type(kind)
    run_id = made.put_execution_type(pb.ExecutionType(name="Step"))
    for number, step in enumerate(STEPS, 1):
        folder = paths.artifacts / step / "examples" / str(number)
        folder.mkdir(parents=True)
        if step != "LiveModel":
            (folder / "Split-train").mkdir()
            (folder / "Split-train" / "rows.gz").write_text("rows")
            (folder / "schema.txt").write_text("schema")
        artifact = pb.Artifact(type_id=type_id, uri=str(folder), state=pb.Artifact.LIVE)
        artifact.properties["span"].int_value = number
        artifact.custom_properties["name"].string_value = "größer " * 200
        (artifact_id,) = made.put_artifacts([artifact])
        (execution_id,) = made.put_executions([pb.Execution(type_id=run_id)])
        event = pb.Event(artifact_id=artifact_id, execution_id=execution_id, type=pb.Event.OUTPUT)
        event.path.steps.add().key = "examples"
        made.put_events([event])
        record_files(paths.artifacts, artifact_id, folder)
