"""Asks MediaPipe's TextClassifier, in an environment of its own: MODEL as argument, texts in, answers out.

Standard input holds a JSON text a line; a line of the output holds the scores in the order of `labels.txt`.
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
