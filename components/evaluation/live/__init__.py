"""The model that is live: whether it can be measured next to a candidate, and whether it was measured before."""
