"""Which versions of which models are loaded, and a version as something that can run.

SavedModels, .tflite files, warm-up, loading and unloading. No requests, no connections.
"""
