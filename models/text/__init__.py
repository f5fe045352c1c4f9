"""Text to token ids as operations of a graph, and vocabularies learned from text.

The same in pure Python, for devices, is `tflite.host`, which this package uses. No models, no checkpoints.
"""
