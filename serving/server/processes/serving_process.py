"""One serving process: its models, its front ends, and its end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from serving.errors import StatusError
from serving.server.calls.internal_error import unexpected
from serving.server.calls.service import Service
from serving.server.flag_files import read_api_keys, read_tls_source
from serving.server.front.certificate_expiry import Expiry
from serving.server.front.frontend import AVAILABLE, Frontend, paged
from serving.server.front.grpc.grpc_server import GrpcServer
from serving.server.front.rest.rest_server import RestServer
from serving.server.front.server_metrics import PROCESS
from serving.server.options import ServerOptions, TlsFiles
from serving.server.processes.model_config_file import ConfigFile
from serving.server.processes.shutdown import CLOSE_SECONDS, Ending, leave
from serving.server.processes.supervisor_link import Control
from serving.server.processes.watched_files import follow
from serving.server.run.process_memory import prepare
from serving.wire import protos

LOG = logging.getLogger("serving")

_SWITCH_SECONDS = 0.0005
"""Each system call of the event loop gives Python's lock away, and a thread that decodes then keeps it for so long.
With Python's own 5 ms, what is a hundred calls long waits for half a second."""

MakeService = Callable[[ServerOptions], Service]

_ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def run_worker(make_service: MakeService, options: ServerOptions, index: int, end: socket.socket) -> int:
    """Serves as one of several processes, each with one thread within an op unless more were asked for.

    Returns:
        The exit code.
    """
    if not options.intra_op_parallelism:
        options = dataclasses.replace(options, intra_op_parallelism=1)
        for name in _ONE_THREAD:
            os.environ.setdefault(name, "1")
    return run(options, make_service, index, end)


def run(
    options: ServerOptions, make_service: MakeService, index: int = 0, control_end: socket.socket | None = None
) -> int:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        options: of the server.
        make_service: makes the service; what it imports is imported now.
        index: of this worker.
        control_end: its end of the control socket, None for the only process.

    Returns:
        The exit code: 0.

    Raises:
        OptionsError: an address cannot be listened on, or what the service raises.
    """
    prepare()
    sys.setswitchinterval(_SWITCH_SECONDS)
    ending = Ending(options.drain_seconds, insists=control_end is None)
    ending.listen()
    asyncio.run(_Process(options, make_service, index, control_end, ending).run())
    atexit.register(leave, 0)  # Python takes TensorFlow apart otherwise, which may last seconds
    return 0


class _Process:
    def __init__(
        self,
        options: ServerOptions,
        make_service: MakeService,
        index: int,
        control_end: socket.socket | None,
        ending: Ending,
    ) -> None:
        self._options, self._make_service, self._index, self._end = options, make_service, index, control_end
        self._ending = ending
        self._control: Control | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        self._ending.attach(self._stop)
        start = time.monotonic()
        service = self._make_service(self._options)
        frontend = await self._frontend(service)
        async with _background(self._supervised()):
            await service.start()
            if self._control is not None:
                await self._control.may_open()
            await self._serve(frontend, start)
        await self._in_time(service.stop())
        LOG.info("stopped")

    async def _frontend(self, service: Service) -> Frontend:
        if self._end is None:
            return Frontend(service, self._options)

        async def reload(request: Any) -> Any:
            return await control.reload_all(request)

        async def scrape() -> str:
            try:
                return await paged(await control.metrics_of_all())
            except StatusError as error:
                # No numbers rather than those of one worker, which would seem to have fallen.
                return f"# {error.message}\n"

        def dump() -> bytes:
            frontend.set_states()
            return PROCESS.dump()

        frontend = Frontend(service, self._options, reload=reload, scrape=scrape)
        control = self._control = Control(self._end, frontend.reload_here, dump)
        await control.connect()
        return frontend

    async def _serve(self, frontend: Frontend, start: float) -> None:
        """Opens the ports, waits for the end, and closes them."""
        _set_aside_what_stays()
        shared = self._end is not None
        grpc_server = GrpcServer(frontend, share_port=shared, use_socket_path=self._index == 0)
        rest_server = RestServer(frontend, share_port=shared) if self._options.rest_api_port else None
        self._ending.serving = True
        if rest_server is not None:
            await rest_server.start()
        await grpc_server.start()
        _tell(frontend, time.monotonic() - start)
        if self._control is not None:
            self._control.ready()
        fronts: list[GrpcServer | RestServer] = [grpc_server]
        fronts += [rest_server] if rest_server is not None else []
        # Where there are several workers, the supervisor follows the file.
        configured = contextlib.nullcontext() if shared else _background(_follow_config(frontend))
        async with configured, _background(self._follow_security(frontend, fronts)):
            await self._stop.wait()
        await self._in_time(_drain(frontend, grpc_server, rest_server))

    async def _follow_security(self, frontend: Frontend, fronts: Sequence[GrpcServer | RestServer]) -> None:
        """Keeps certificates and API keys as their files are, and warns of what expires."""
        options, tasks = self._options, []
        seconds = options.security_poll_wait_seconds
        if options.api_keys is not None and options.api_keys_file is not None:
            read_keys = partial(read_api_keys, options.api_keys_file)
            tasks.append(follow("API keys", read_keys, options.api_keys, frontend.use_keys, seconds))
        if options.tls is not None and options.tls_source is not None:
            expiry = Expiry(options.tls)

            def use(tls: TlsFiles) -> None:
                for front in fronts:
                    front.reload_tls(tls)
                expiry.watch(tls)

            read = partial(read_tls_source, options.tls_source)
            tasks.append(follow("keys and certificates", read, options.tls, use, seconds))
            if self._index == 0:  # the workers have the same ones
                tasks.append(expiry.run())
        await asyncio.gather(*tasks)

    async def _supervised(self) -> None:
        """Does what the supervisor tells; without one any more, the end has come."""
        if self._control is not None:
            await self._control.serve()
            LOG.error("worker %d: the supervisor has gone", self._index)
            self._ending.begin()

    async def _in_time(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits what belongs to the end; leaves the process where it takes longer than the end may."""
        # Not `asyncio.timeout`: what is cancelled may take its time, or not heed it.
        working = asyncio.ensure_future(work)
        if not (await asyncio.wait((working,), timeout=max(0.0, self._ending.left())))[0]:
            LOG.error("something still runs %g s after the time to drain; it is left behind", CLOSE_SECONDS)
            leave(0)
        await working


def _set_aside_what_stays() -> None:
    """Keeps TensorFlow's hundreds of thousands of objects out of Python's collections of garbage, each of which would
    go through all of them and stop the process for some tenths of a second."""
    gc.collect()
    gc.freeze()


async def _drain(frontend: Frontend, grpc_server: GrpcServer, rest_server: RestServer | None) -> None:
    """First nobody is sent here any more, then nobody is let in, then those inside may finish."""
    seconds, count = frontend.options.drain_seconds, frontend.in_flight
    LOG.info("draining: %d requests in flight, at most %g s", count, seconds)
    frontend.draining = True
    await grpc_server.drain()
    if rest_server is not None:
        await rest_server.close()
    _, done = await asyncio.gather(grpc_server.stop(seconds), frontend.idle(seconds))
    if not done:
        LOG.error("requests still in flight after %g s, which are dropped: %d", seconds, frontend.in_flight)
    if rest_server is not None:
        await rest_server.stop()


async def _follow_config(frontend: Frontend) -> None:
    """Reloads --model_config_file when its content has changed."""
    file = ConfigFile(frontend.options)
    while file.seconds is not None:
        await asyncio.sleep(file.seconds)
        config = await asyncio.to_thread(file.changed, time.monotonic())
        if config is not None:
            try:
                await frontend.reload_here(protos.ReloadConfigRequest(config=config))
            except StatusError as error:
                file.log(error)
            except Exception as error:  # noqa: BLE001  `unexpected` logs it; the next change must be seen all the same
                file.log(unexpected(error, "the configuration file"))
            else:
                file.log(None)


def _tell(frontend: Frontend, seconds: float) -> None:
    """Says what is served and where."""
    options = frontend.options
    where = [f"gRPC on {options.host}:{options.port}"] if options.port else []
    where += [f"gRPC on {options.grpc_socket_path}"] if options.grpc_socket_path else []
    where += [f"REST on {options.host}:{options.rest_api_port}"] if options.rest_api_port else []
    for name in frontend.model_names():
        versions = list(frontend.versions(name))
        for one in versions:
            if one.state == AVAILABLE:
                LOG.info("model %s version %d is served", name, one.version)
            elif one.status.error_message:
                LOG.error("model %s version %d is not served: %s", name, one.version, one.status.error_message)
        if not any(one.state == AVAILABLE for one in versions):
            LOG.warning("model %s has no version that is served", name)
    LOG.info("%s; ready after %.1f s", ", ".join(where), seconds)


@contextlib.asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    """Runs the coroutine beside, until it or the block ends. Should it fail, the log says so, and the block goes on."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _tell_failure(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        LOG.error("something that runs beside the requests has ended", exc_info=failure)
