"""`transom predict`: texts from arguments, files and tables; predictions from a model or a server.

Models are loaded by `models.saved` and `tflite.host`, and servers queried by `serving.client`.
"""
