"""One call, whatever brings it: its limits, its tensors, what it asks of a model, what it answers.

Knows neither gRPC nor HTTP above it, nor how models are loaded below it.
"""
