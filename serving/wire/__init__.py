"""Shared by the server and its clients: TF Serving's protos, dtypes, and tensors as bytes.

Knows neither connections nor models.
"""
