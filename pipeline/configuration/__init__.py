"""Finds, reads, overrides and checks transom.yaml, and prints its reference.

Each package's `config.py` defines its keys.
"""
