"""Commands before a run: they look at the table, the machine and the environments, and write a configuration."""
