"""`transom init`: a table that nobody has described becomes a commented transom.yaml.

No TensorFlow, and nothing is trained.
"""
