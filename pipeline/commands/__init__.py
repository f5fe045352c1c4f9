"""The commands of `transom`, one per module: arguments, help and function. Heavy imports are inside the functions."""
