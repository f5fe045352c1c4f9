"""Rows packed into lines of few static shapes, for `models.network.packed`."""
