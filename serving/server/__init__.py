"""A model directory becomes a service that speaks TF Serving's protocol, over gRPC and REST.

From the outside in: `processes` start and end it, `front` has the connections, `model_service` joins `front` to
`models` (what is loaded) and `run` (threads and batches); `calls` defines one call, and all use it. Clients are in
`serving.client`.
"""
