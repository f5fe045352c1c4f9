"""What server and clients share: TF Serving's protos, dtypes, and tensors as bytes.

No connections, no models.
"""
