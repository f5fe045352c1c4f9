"""The SavedModel: its signatures, its export, and what reads it.

Code here predicts with it, restores the Keras model, compares two models, and finds the newest. No server, no training.
"""
