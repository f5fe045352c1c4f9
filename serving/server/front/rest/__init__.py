"""REST: routes, methods, and HTTP/1 connections over aiohttp.

JSON itself is next door, in `json`.
"""
