"""How requests arrive and responses leave: connections, admission, metrics, reloads.

gRPC (`grpc` over `http2`) and REST (`rest`, `json`) meet in `frontend.py`. No TensorFlow, no models.
"""
