"""The command line, the one configuration, the graph of steps, and the runners.

`commands` has a file for each command of `transom`; `configuration` reads transom.yaml; `runs` runs it here,
`kubeflow` elsewhere. What a step does lies in `components`.
"""
