"""Training: batches, the step under a strategy and XLA, the optimizer, the loop, its report.

Needs a model of `models.build` and arrays on disk; knows no tables and no SavedModels.
"""
