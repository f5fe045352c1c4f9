"""The same pipeline on Kubeflow Pipelines 2.x and on Vertex AI: compile, verify, submit, and the entrypoint.

No steps: `pipeline.graph` builds the same graph for every runner.
"""
