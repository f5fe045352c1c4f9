"""Commands for runs on Kubeflow Pipelines and Vertex AI."""
