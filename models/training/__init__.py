"""Training: batches, the step under a strategy and XLA, the optimizer, the loop, its report.

Takes a model from `models.build` and arrays from disk. No tables, no SavedModels.
"""
