"""What made a model: the facts that the steps gather, and `lineage.json`, which is pushed with it.

What a step computes does not depend on any of them, so nothing here is part of a cache key or of a model's identity.
"""
