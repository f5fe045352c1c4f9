"""The steps of a run in order, with descriptions. Standard library only: `run --help` lists them.

`pipeline.graph` creates them; a test compares the two.
"""

from __future__ import annotations

DESCRIPTIONS = {
    "ExampleGen": "reads the tables and splits their rows",
    "LiveModel": "looks up the version that is live: the newest in the push folder",
    "StatisticsGen": "counts what is in each column",
    "SchemaGen": "describes what the columns must look like",
    "ExampleValidator": "checks each split against that",
    "DataGate": "stops the run if the data cannot train a model",
    "Baselines": "fits what the model must be better than: the trivial answer, a linear model",
    "TokenizerTrainer": "learns a vocabulary, or uses the preset's",
    "Transform": "turns texts into token ids and labels into numbers",
    "Trainer": "trains the Transformer and exports it",
    "Evaluator": "measures it; blesses it if it meets the thresholds",
    "ServingGate": "serves it and compares the predictions with Keras's",
    "EdgeExporter": "converts it to .tflite variants",
    "EdgeGate": "chooses the smallest variant with the same predictions",
    "Pusher": "puts a blessed model into the push folder, as a new version",
}

STEPS = tuple(DESCRIPTIONS)

REPORT_STEP = "Report"
"""The last step on a cluster: the page of the run. A run here writes its page itself, however it ends."""

CLUSTER_STEPS = (*STEPS, REPORT_STEP)
"""The steps of a run on a cluster."""

BEAM_STEPS = ("ExampleGen", "StatisticsGen", "DataGate", "TokenizerTrainer", "Transform", "Evaluator")
"""Steps that compute with Beam."""

BEGINS_EARLY = frozenset({"TokenizerTrainer", "ServingGate", "EdgeExporter"})
"""Steps that the local runner does not let wait for those that they only come after: whatever a gate finds, they take
seconds, and what they make is not used until it has passed."""

MEASURES_TIME = frozenset({"ServingGate", "EdgeGate"})
"""Steps that measure latencies: nothing else runs beside them."""

EDGE_STEPS = ("EdgeExporter", "EdgeGate")
"""Steps that exist only if `edge.variants` is not empty."""

BASELINES_STEP = "Baselines"
"""The step that exists only if a baseline is not off."""

CHECKS = "checks"
"""Stands for the step of a run that stops before its first one, while files, folders and settings are checked."""

BEFORE_TRAINING = "Transform"
"""The last step before the training: the Trainer's rows are its output."""

TRAINER = "Trainer"
"""The step that trains."""
