"""Text to token ids as operations of a graph, and vocabularies learned from text.

What a device does in Python lies in `tflite.host`, on which this room builds. No models, no checkpoints.
"""
