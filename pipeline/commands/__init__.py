"""The commands of `transom`: their arguments, their help, and what each calls.

Standard library only at import, so that `--help` comes at once.
"""
