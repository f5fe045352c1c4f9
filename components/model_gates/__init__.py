"""How the serving gate and the edge gate examine a model: the rows they choose, and the reports they write.

They read rows from artifacts; servers, bundles and measurements are in `serving` and `tflite`.
"""
