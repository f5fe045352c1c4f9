"""A bundle on a device: text to token ids, the .tflite file, a prediction. Copy this folder; it needs no other of ours.

Needs NumPy and ai-edge-litert (and `sentencepiece` for such vocabularies). The rest of the tree builds on it, so that
training and a device cut texts by the same code. Nothing here imports TensorFlow or another package of the project.
"""

BUNDLE_FILE = "edge.json"
"""The file by which a bundle is known."""
