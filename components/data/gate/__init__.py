"""The data gate: counts of each split, the rules, drift, schema anomalies, and the findings.

`components.steps.data_gate` reads the rows and stops the run. Gates on a trained model are in `components.model_gates`.
"""
