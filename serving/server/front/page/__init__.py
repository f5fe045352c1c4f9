"""The page of --page, where people try the models: its document, and what it asks besides the API. It runs no model.

HTML, style and script are in `files`.
"""
