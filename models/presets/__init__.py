"""Pretrained encoders: the families, a checkpoint's files, and its weights.

Describing a checkpoint (`preset.py` and what it imports) needs no TensorFlow; `backbones.py` builds the encoder.
No heads, no training.
"""
