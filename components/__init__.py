"""The steps of the pipeline and what they decide with: the data, the evaluation, the gates.

`steps` holds TFX's adapters; `data` and `evaluation` are plain Python that knows no TFX.
The modules beside the rooms are what steps share. Models, servers and bundles have their own packages.
"""
