"""The gates on a trained model: the rows that they choose, and the reports of the serving gate and the edge gate.

They read rows from TFX's artifacts. Servers, bundles and measurements are in `serving` and `tflite`; the data gate is
in `components.data.gate`.
"""
