"""REST: routes, methods, and HTTP/1 connections over aiohttp. The JSON itself is in `front/json`."""
