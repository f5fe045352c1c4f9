"""How requests arrive and responses leave: connections, admission, metrics, reloads.

gRPC (`grpc` over `http2`) and REST (`rest`, `json`; `page` is what --page shows) meet in `frontend.py`. No TensorFlow,
no models.
"""
