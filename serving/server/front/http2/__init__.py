"""gRPC over HTTP/2: nghttp2 on an asyncio loop. It knows neither models nor what the methods mean.

nghttp2 is a C library that comes with curl and git. It is called through ctypes, so nothing is compiled, and with
Python's lock held (`ctypes.PyDLL`): its calls take microseconds. If they released the lock, a thread that decodes a
large request would take it at each of a request's twenty calls and callbacks, and keep it for 5 ms each time.
"""
