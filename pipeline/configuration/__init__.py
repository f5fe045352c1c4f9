"""transom.yaml: found, read, overridden, checked; its reference.

The keys themselves are defined in each package's `config.py`.
"""
