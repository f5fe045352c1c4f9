"""The command line, the one configuration, the graph of steps, and the runners.

`commands` has a module for each command of `transom`; `configuration` reads transom.yaml; `runs` runs the pipeline
here, `kubeflow` on a cluster. The steps themselves are in `components`.
"""
