"""Turns a SavedModel into a bundle for the edge (LiteRT): converts, quantizes, measures, chooses a variant.

`bundle_export.py` joins these steps; `host` is what runs on the device. No TFX, no server.
"""
