"""The fake service, stuck in one of the ways in which a real one can be. Not a test itself."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time

from fake_service import FakeService

from serving.errors import Code, StatusError

RUN, LOOP, CALL, HELD = -1.0, -2.0, -3.0, -4.0
"""First values of `x` for the signature `slow`: a run that never ends, in a thread; an event loop that hangs; one that
hangs in a call of C, where no signal handler of Python's runs; one that keeps Python's lock as well."""

FOREVER = 10**6


class StuckService(FakeService):
    """`slow` takes the values above. A configuration with "half" in it is refused by the first process that reloads it.
    One with "later" is in force, but UNKNOWN."""

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
        elif kind == HELD:
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
    mutex = ctypes.create_string_buffer(64)  # of zeros: PTHREAD_MUTEX_INITIALIZER
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


class NeverStarts(FakeService):
    async def start(self):
        await asyncio.to_thread(time.sleep, FOREVER)


def never_imports(options):
    time.sleep(FOREVER)
