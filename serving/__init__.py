"""A pushed model behind TF Serving's protocol: the server, its clients, its deployment, its checks.

Imports no other package of the project, so that it can be used alone.
"""
