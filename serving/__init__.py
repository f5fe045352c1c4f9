"""A model directory becomes a service. Imports nothing of the other packages."""
