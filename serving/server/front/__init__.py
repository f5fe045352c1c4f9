"""How requests come in and responses go out: connections, admission, metrics, reloads.

gRPC (`grpc` over `http2`) and REST (`rest`, `json`) meet in `frontend.py`. No TensorFlow, no models.
"""
