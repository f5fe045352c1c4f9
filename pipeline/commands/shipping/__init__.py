"""Commands for a pushed model and its bundle: query, serve, deploy."""
