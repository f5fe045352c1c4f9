"""One call, over any protocol: its limits, tensors, inference and response.

Knows neither gRPC nor HTTP above it, nor how models are loaded below it.
"""
