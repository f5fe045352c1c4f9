"""The steps of a run, by name and in order, and what each does. Standard library alone: `run --help` lists them.

`pipeline.graph` makes them; a test holds the two to each other.
"""

from __future__ import annotations

DESCRIPTIONS = {
    "ExampleGen": "reads the tables and splits their rows",
    "LiveModel": "looks up the version that is live: the newest in the push folder",
    "StatisticsGen": "counts what is in each column",
    "SchemaGen": "says what the columns must look like",
    "ExampleValidator": "holds each split to that",
    "DataGate": "stops the run on data that teach nothing",
    "TokenizerTrainer": "learns a vocabulary, or takes the preset's",
    "Transform": "turns texts into token ids and labels into numbers",
    "Trainer": "trains the Transformer and exports it",
    "Evaluator": "measures it; blesses it if it meets the thresholds",
    "ServingGate": "serves it and compares the answers with Keras's",
    "EdgeExporter": "converts it to .tflite variants",
    "EdgeGate": "chooses the smallest variant that answers alike",
    "Pusher": "puts what is blessed into the push folder, as a new version",
}

STEPS = tuple(DESCRIPTIONS)

EDGE_STEPS = ("EdgeExporter", "EdgeGate")
"""Steps that there are only where `edge.variants` names one."""

CHECKS = "checks"
"""Where a run is that stops before its first step: its files, folders and settings are looked at."""
