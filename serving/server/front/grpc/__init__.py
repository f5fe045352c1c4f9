"""gRPC's methods, health and reflection.

`http2` carries them, or grpcio where nghttp2 is missing.
"""
