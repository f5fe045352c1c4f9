"""The attacks, grouped by protocol or subject; `ATTACKS` and `ENDINGS` list them."""
