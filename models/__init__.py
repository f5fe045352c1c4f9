"""Keras models: text to token ids, Transformers, training, and the exported SavedModel.

The packages build on each other: `text` and `network`, `presets`, `build`, then `training` and `saved`.
Nothing here depends on TFX, Beam or a server.
"""
