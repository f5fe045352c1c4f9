"""One file for each TFX step: it unpacks artifacts, calls the code that does the work, and writes artifacts.

All but ExampleGen build on `components.tfx_step`. The decisions are in `data`, `evaluation`, `model_gates`, `models`,
`tflite` and `serving`.
"""
