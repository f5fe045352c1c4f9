"""The model card: what is said of a model when it is given away. Made from the sections of the report, and no more."""
