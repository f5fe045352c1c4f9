"""The steps of a run on this machine: their order, their processes, and what TFX records of them."""
