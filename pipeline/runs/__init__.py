"""Runs on this machine: lock, TFX's metadata store, local runner, interruption, run records. No steps, no Kubeflow."""
