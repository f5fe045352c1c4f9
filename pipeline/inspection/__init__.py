"""`transom run --debug` and `transom profile`: some steps of a project's training on its own rows."""
