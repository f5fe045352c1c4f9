"""A run on this machine: lock, TFX's records, the local runner, interruption, the run's record.

No steps, no Kubeflow.
"""
