"""The steps of the pipeline and the code behind their decisions.

`steps` holds the adapters to TFX, `model_gates` the serving gate and the edge gate; `data` (with the data gate) and
`evaluation` do without TFX. The modules of this folder serve several steps or use TFX's artifacts. Models, servers and
bundles have their own packages.
"""
