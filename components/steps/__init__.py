"""One file for each TFX step: it unpacks artifacts, calls the code that does the work, and writes artifacts.

The decisions are in `data`, `evaluation`, `model_gates`, `models`, `tflite` and `serving`.
"""
