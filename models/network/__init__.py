"""The layers of a Transformer, the pooling of every model, and the encoder that is trained from scratch.

No text, no files, no pretrained weights.
"""
