"""Pretrained encoders: which families there are, what a checkpoint's files say, and its weights.

Reading a checkpoint's description (`preset.py` and below) needs no TensorFlow; `backbones.py` builds the encoder.
No heads, no training.
"""
