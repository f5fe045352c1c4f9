"""gRPC's methods, health and reflection.

What carries them is `http2`, or grpcio where nghttp2 is missing.
"""
