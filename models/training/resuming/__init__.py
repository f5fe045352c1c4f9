"""Continues an interrupted training exactly where it stopped.

Checkpoints, the key that says to which training they belong, and stopping between two steps. Not training itself.
"""
