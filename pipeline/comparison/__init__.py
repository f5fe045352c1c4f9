"""`transom compare-backends`: trains a project's rows for some steps on each framework, and compares them."""
