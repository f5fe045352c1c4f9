"""What depends on the framework that Keras runs on: the step, the predictor and the devices.

Other code uses `contract.py` and `devices.py` alone. The framework of a process is fixed when Keras is imported.
"""
