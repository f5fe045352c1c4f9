"""Training: strategy, length buckets, the XLA step, the optimizer, exact resumption."""
