"""A SavedModel becomes a bundle for the edge (LiteRT): converted, quantized, measured, chosen.

`bundle_export.py` is the way through the rooms; `host` is what runs on the device. No TFX, no server.
"""
