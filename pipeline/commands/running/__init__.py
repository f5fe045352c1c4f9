"""Commands that run the pipeline, and those that tell what its runs did."""
