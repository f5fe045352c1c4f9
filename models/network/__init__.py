"""The layers of a Transformer, and the encoder that is trained from scratch.

No text, no files, no pretrained weights.
"""
