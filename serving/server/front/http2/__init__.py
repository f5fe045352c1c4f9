"""gRPC over HTTP/2 by nghttp2, from an asyncio loop: no models, and nothing of what the methods mean.

nghttp2 is a C library that systems with curl or git have. It is called by ctypes, so that nothing is compiled, and with
Python's lock held (`ctypes.PyDLL`): its calls take microseconds, and a thread that decodes a large request would
otherwise take the lock at each of a request's twenty calls and callbacks, and keep it for 5 ms each time.
"""
