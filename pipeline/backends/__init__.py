"""`transom backends`: makes, lists and removes the environments of other frameworks than TensorFlow.

`models/training/elsewhere` finds them and trains in them.
"""
