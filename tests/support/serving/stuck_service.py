"""The fake service, which can get stuck in the ways a real one can. Not a test itself."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time

from fake_service import FakeService

from serving.errors import Code, StatusError

RUN, LOOP, CALL, LOCK = -1.0, -2.0, -3.0, -4.0
"""First values of `x` for the signature `slow`: a run that never ends, in a thread; an event loop that hangs; one that
hangs in a C call, where no Python signal handler runs; one that also holds Python's lock."""

FOREVER = 10**6


class StuckService(FakeService):
    """`slow` takes the values above. The first process that loads a configuration with "half" refuses it. One with
    "later" is put in force with UNKNOWN."""

    def __init__(self, options):
        super().__init__(options)
        self.runs = []

    async def _run(self, name, inputs):
        kind = float(inputs["x"][0]) if name == "slow" else 0.0
        if kind < 0:
            sys.stderr.write("it is stuck\n")
        if kind == RUN:
            run = asyncio.to_thread(time.sleep, FOREVER)
            self.runs.append(asyncio.ensure_future(run))
            await asyncio.shield(self.runs[-1])
        elif kind == LOOP:
            while True:
                time.sleep(1)
        elif kind == CALL:
            _lock_twice(ctypes.CDLL(None))
        elif kind == LOCK:
            _lock_twice(ctypes.PyDLL(None))
        return await super()._run(name, inputs)

    async def reload_config(self, request):
        names = [one.name for one in request.config.model_config_list.config]
        if "half" in names:
            try:
                os.mkdir(f"{request.config.model_config_list.config[0].base_path}/refused")
            except FileExistsError:
                pass
            else:
                raise StatusError(Code.INVALID_ARGUMENT, "this process refuses")
        response = await super().reload_config(request)
        if "later" in names:
            raise StatusError(Code.UNKNOWN, "1 model(s) did not become available")
        return response

    async def stop(self):
        await asyncio.gather(*self.runs)


def _lock_twice(library):
    mutex = ctypes.create_string_buffer(64)  # zeros: PTHREAD_MUTEX_INITIALIZER
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


class NeverStarts(FakeService):
    async def start(self):
        await asyncio.to_thread(time.sleep, FOREVER)


def never_imports(options):
    time.sleep(FOREVER)
