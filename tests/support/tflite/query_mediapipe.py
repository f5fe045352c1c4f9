"""Queries MediaPipe's TextClassifier in its own environment. Argument: MODEL.

Standard input holds a JSON string per line; each line of the output has the scores in the order of `labels.txt`.
"""

from __future__ import annotations

import json
import sys

from mediapipe.tasks.python import text

with text.TextClassifier.create_from_model_path(sys.argv[1]) as classifier:
    for line in sys.stdin:
        categories = classifier.classify(json.loads(line)).classifications[0].categories
        scores = [0.0] * len(categories)
        for category in categories:
            scores[category.index] = category.score
        sys.stdout.write(json.dumps(scores) + "\n")
