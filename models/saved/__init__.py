"""The SavedModel: its signatures, its export, and everything that is done with one afterwards.

Predicting, restoring the Keras model, comparing two, finding the newest. No server, no training.
"""
