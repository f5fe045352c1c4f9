"""Asks bundles with ai-edge-litert and NumPy alone: folders as arguments; prints answers, golden rows and modules.

Standard input holds a JSON object {"texts": […], "pairs": […]}; the pairs are for the bundles that read two texts.
"""

from __future__ import annotations

import json
import sys

from tflite.host.edge_classifier import EdgeClassifier

modules = sorted({name.partition(".")[0] for name in sys.modules})  # what the import alone brings
given = json.load(sys.stdin)
answers = []
for folder in sys.argv[1:]:
    classifier = EdgeClassifier(folder)
    pairs = given["pairs"] if classifier.manifest.pairs else None
    answers.append([answer.as_dict() for answer in classifier.predict(given["texts"], pairs)])
json.dump({"answers": answers, "modules": modules}, sys.stdout)
