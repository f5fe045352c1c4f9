"""`transom schema`: the configuration's JSON Schema, and the reference of its keys for the docs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.config import ProjectConfig
from tflite.host.json_text import to_json

_OVERRIDES = """\
`--set KEY=VALUE` overrides a key for one command: `--set train.epochs=3`. A text key takes VALUE exactly as written,
including spaces, `#`, `: `, quotes and brackets: `--set "output=runs #1"`. Any other key takes a value as in the file:
a number (`1_000` is valid, `0x10` is not), `true` or `false`, `[a, b]`, `{min: 0.9}`; in a list or a group, a text
with ` #` or `: ` needs double quotes. A key that may be a text or a list takes a list if VALUE begins and ends with its
brackets. `null`, or nothing after the `=`, resets an optional key to its default."""


def json_schema() -> str:
    """JSON Schema (draft 2020-12) of transom.yaml."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **ProjectConfig.model_json_schema()}
    return to_json(schema, indent=2)


def markdown() -> str:
    """Every key with its type, default and meaning: a Markdown table for each group."""
    schema = ProjectConfig.model_json_schema()
    parts = ["# transom.yaml", "", "Every key; only `data` is required. Written by `transom schema --markdown`.", ""]
    parts += [_OVERRIDES, ""]
    for heading, definition in _groups(schema):
        parts += [f"## {heading}", "", " ".join(definition.get("description", "").split()), ""]
        parts += ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = definition.get("required", [])
        for name, field in definition["properties"].items():
            if (
                "$ref" in field
                or "discriminator" in field
                or any("$ref" in choice for choice in field.get("oneOf", []))
            ):
                continue
            default = "required" if name in required else f"`{to_json(field.get('default'))}`"
            cells = (f"`{name}`", _type(field), default.replace("`null`", "none"), field.get("description", ""))
            parts.append("| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts).rstrip()


def _groups(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The heading and the schema of each group, the top level first."""
    yield "Top level", {**schema, "description": "The project."}
    definitions = schema["$defs"]
    titles = {
        "DataConfig": "data",
        "SplitsConfig": "data.splits",
        "TaskConfig": "task",
        "TokenizerConfig": "tokenizer",
        "EncoderConfig": "model (`type: encoder`, the default)",
        "PresetConfig": "model (`type: preset`)",
        "TrainConfig": "train",
        "GateConfig": "gate",
        "EvaluationConfig": "evaluation",
        "BaselinesConfig": "evaluation.baselines",
        "ThresholdConfig": "evaluation.thresholds.METRIC",
        "ServingConfig": "serving",
        "EdgeConfig": "edge",
        "BudgetConfig": "edge.budget",
        "PushConfig": "push",
        "CardConfig": "card",
        "BeamConfig": "beam",
        "BeamStepConfig": "beam.steps.STEP",
        "KubeflowConfig": "kubeflow",
        "MountConfig": "kubeflow.mounts[]",
        "SecretConfig": "kubeflow.secrets[]",
        "StepConfig": "kubeflow.default, kubeflow.steps.STEP",
        "TolerationConfig": "kubeflow.default.tolerations[]",
    }
    for name, title in titles.items():
        yield title, definitions[name]


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"] if choice.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if "additionalProperties" in field:
        inner = field["additionalProperties"]
        return "map to " + (_type(inner) if isinstance(inner, dict) else "any")
    limits = [
        f"{sign} {field[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in field
    ]
    return " ".join([str(field.get("type", "group")), *limits])
