"""Asks a served model, over gRPC or REST, without TensorFlow."""
