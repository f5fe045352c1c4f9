"""One file for each step of the pipeline: it unpacks artifacts, calls, and writes artifacts.

What is decided lies in `data`, `evaluation`, `models`, `tflite` and `serving`; nothing of it here.
"""
