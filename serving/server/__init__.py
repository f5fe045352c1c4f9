"""A model directory becomes a service that speaks TF Serving's protocol, over gRPC and REST."""
