"""Runs a bundle on a device: text to token ids, the .tflite file, a prediction. This folder can be copied on its own.

It needs NumPy and ai-edge-litert (and `sentencepiece` for SentencePiece vocabularies), but neither TensorFlow nor
another package of the project. The rest of the tree builds on it, so that training and devices share one tokenizer.
"""

BUNDLE_FILE = "edge.json"
"""The file that identifies a bundle."""
