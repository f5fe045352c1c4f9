"""Tables as rows of a task: their formats, values, splits, and the rules that bad data break.

Plain Python on files and rows. No TFX, no Beam; TensorFlow only to read TFRecords, TFDV only to infer a schema.
"""
