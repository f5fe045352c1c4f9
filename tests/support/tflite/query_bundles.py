"""Queries bundles with ai-edge-litert and NumPy alone. Arguments: the package that has `edge_classifier`, then bundles.

Standard input holds {"texts": […], "pairs": […]}; models of two texts read the pairs. Prints the predictions, the
modules that the import loaded, and those of Transom's packages that can be imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys

package, *bundles = sys.argv[1:]
EdgeClassifier = importlib.import_module(f"{package}.edge_classifier").EdgeClassifier

modules = sorted({name.partition(".")[0] for name in sys.modules})
given = json.load(sys.stdin)
predictions = []
for bundle in bundles:
    classifier = EdgeClassifier(bundle)
    pairs = given["pairs"] if classifier.manifest.pairs else None
    predictions.append([prediction.as_dict() for prediction in classifier.predict(given["texts"], pairs)])
importable = [name for name in ("components", "models", "pipeline", "serving") if importlib.util.find_spec(name)]
json.dump({"predictions": predictions, "modules": modules, "importable": importable}, sys.stdout)
