"""A SavedModel becomes an edge bundle (LiteRT)."""
