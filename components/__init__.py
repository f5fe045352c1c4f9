"""The steps of the pipeline and the code behind their decisions: the data, the evaluation, the gates.

`steps` holds the adapters to TFX; `data` and `evaluation` are plain Python without TFX. The modules of this folder are
shared by several steps or use TFX's artifacts. Models, servers and bundles have their own packages.
"""
