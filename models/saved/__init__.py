"""The SavedModel: its signatures, its export, and its uses.

These are predicting, restoring the Keras model, comparing two models and finding the newest. No server, no training.
"""
