"""Keras models: text to token ids, Transformers, training, and the SavedModel that comes of it.

The rooms build on each other: `text` and `network`, `presets`, `build`, then `training` and `saved`.
Nothing here knows TFX, Beam or a server.
"""
