"""The data gate: what is counted of each split, the rules, drift, and the findings.

Nothing here reads files or stops a run; `components.steps.data_gate` does.
"""
