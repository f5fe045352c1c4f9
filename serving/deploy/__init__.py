"""Manifests that put a pushed model behind TF Serving on a cluster, and canaries.

Writes files and reloads TF Serving over gRPC. No TensorFlow, no Kubernetes client.
"""
