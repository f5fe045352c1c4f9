"""Rows packed into lines of one static shape, for `models.network.packed`. The loop does not use them yet."""
