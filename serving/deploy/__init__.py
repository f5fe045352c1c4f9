"""Manifests that put a pushed model behind TF Serving on a cluster."""
