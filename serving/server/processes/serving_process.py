"""One serving process: its models, its front ends, and its shutdown."""

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

from serving.errors import StatusError, unexpected
from serving.server.calls.service_interface import Service
from serving.server.flag_files import read_api_keys, read_tls_source
from serving.server.front.certificate_expiry import ExpiryWarnings
from serving.server.front.frontend import AVAILABLE, Frontend, render_page
from serving.server.front.grpc.grpc_server import GrpcServer
from serving.server.front.rest.rest_server import RestServer
from serving.server.front.server_metrics import PROCESS_METRICS
from serving.server.options import ServerOptions, TlsFiles
from serving.server.processes.model_config_file import ModelConfigFile
from serving.server.processes.shutdown import CLOSE_SECONDS, Shutdown, exit_now
from serving.server.processes.supervisor_link import SupervisorLink
from serving.server.processes.watched_files import watch_files
from serving.server.run.process_memory import prepare
from serving.wire import protos

LOG = logging.getLogger("serving")

_SWITCH_INTERVAL = 0.0005
"""Seconds. Each system call of the event loop releases Python's lock, and a thread that decodes then keeps it for this
long. With Python's default of 5 ms, work of a hundred calls waits for half a second."""

MakeService = Callable[[ServerOptions], Service]


def run_worker(make_service: MakeService, options: ServerOptions, index: int, link_end: socket.socket) -> int:
    """Serves as one of several processes, each with one thread within an op unless the options set more.

    Returns:
        The exit code.
    """
    if not options.intra_op_parallelism:
        options = dataclasses.replace(options, intra_op_parallelism=1)
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            os.environ.setdefault(name, "1")
    return run(options, make_service, index, link_end)


def run(
    options: ServerOptions, make_service: MakeService, index: int = 0, link_end: socket.socket | None = None
) -> int:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        make_service: creates the service; what it imports is imported now.
        index: of this worker.
        link_end: its end of the socket pair to the supervisor, None for a single process.

    Returns:
        The exit code: 0.

    Raises:
        OptionsError: an address cannot be listened on; also what the service raises.
    """
    prepare()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    shutdown = Shutdown(options.drain_seconds, second_signal_exits=link_end is None)
    shutdown.handle_signals()
    asyncio.run(_ServingProcess(options, make_service, index, link_end, shutdown).run())
    atexit.register(exit_now, 0)  # otherwise Python tears TensorFlow down, which may take seconds
    return 0


class _ServingProcess:
    def __init__(
        self,
        options: ServerOptions,
        make_service: MakeService,
        index: int,
        link_end: socket.socket | None,
        shutdown: Shutdown,
    ) -> None:
        self._options, self._make_service, self._index, self._link_end = options, make_service, index, link_end
        self._shutdown = shutdown
        self._link: SupervisorLink | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        self._shutdown.attach(self._stop)
        start = time.monotonic()
        service = self._make_service(self._options)
        frontend = await self._make_frontend(service)
        async with _background(self._serve_supervisor()):
            await service.start()
            if self._link is not None:
                await self._link.wait_to_open()
            await self._serve(frontend, start)
        await self._before_deadline(service.stop())
        LOG.info("stopped")

    async def _make_frontend(self, service: Service) -> Frontend:
        if self._link_end is None:
            return Frontend(service, self._options)

        async def reload(request: Any) -> Any:
            return await link.reload_all(request)

        async def scrape() -> str:
            try:
                return await render_page(await link.collect_metrics())
            except StatusError as error:
                # No numbers rather than those of one worker: counters would seem to have fallen.
                return f"# {error.message}\n"

        def dump() -> bytes:
            frontend.update_state_gauge()
            return PROCESS_METRICS.dump()

        frontend = Frontend(service, self._options, reload=reload, scrape=scrape)
        link = self._link = SupervisorLink(self._link_end, frontend.reload_process, dump)
        await link.connect()
        return frontend

    async def _serve(self, frontend: Frontend, start: float) -> None:
        """Opens the ports, waits for the shutdown, and closes them."""
        # Excludes TensorFlow's hundreds of thousands of objects from garbage collection, which would stop the process
        # for some tenths of a second each time.
        gc.collect()
        gc.freeze()
        shared = self._link_end is not None
        grpc_server = GrpcServer(frontend, share_port=shared, use_socket_path=self._index == 0)
        rest_server = RestServer(frontend, share_port=shared) if self._options.rest_api_port else None
        self._shutdown.serving = True
        if rest_server is not None:
            await rest_server.start()
        await grpc_server.start()
        _log_models(frontend, time.monotonic() - start)
        if self._options.page and self._index == 0:  # all workers have the same page
            LOG.info("page: %s", page_address(self._options))
        if self._link is not None:
            self._link.report_ready()
        fronts: list[GrpcServer | RestServer] = [grpc_server]
        fronts += [rest_server] if rest_server is not None else []
        # With several workers, the supervisor watches the file.
        configured = contextlib.nullcontext() if shared else _background(_watch_config_file(frontend))
        async with configured, _background(self._watch_security_files(frontend, fronts)):
            await self._stop.wait()
        await self._before_deadline(_drain(frontend, grpc_server, rest_server))

    async def _watch_security_files(self, frontend: Frontend, fronts: Sequence[GrpcServer | RestServer]) -> None:
        """Applies changes of the files of certificates and API keys, and warns of certificates that expire."""
        options, tasks = self._options, []
        seconds = options.security_poll_wait_seconds
        if options.api_keys is not None and options.api_keys_file is not None:
            read_keys = partial(read_api_keys, options.api_keys_file)
            tasks.append(watch_files("API keys", read_keys, options.api_keys, frontend.set_keys, seconds))
        if options.tls is not None and options.tls_source is not None:
            expiry = ExpiryWarnings(options.tls)

            def use(tls: TlsFiles) -> None:
                for front in fronts:
                    front.reload_tls(tls)
                expiry.set_certificates(tls)

            read = partial(read_tls_source, options.tls_source)
            tasks.append(watch_files("keys and certificates", read, options.tls, use, seconds))
            if self._index == 0:  # all workers have the same certificates
                tasks.append(expiry.run())
        await asyncio.gather(*tasks)

    async def _serve_supervisor(self) -> None:
        """Serves the supervisor's requests. Shuts down when the supervisor is gone."""
        if self._link is not None:
            await self._link.serve()
            LOG.error("worker %d: the supervisor is gone", self._index)
            self._shutdown.begin()

    async def _before_deadline(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits a part of the shutdown; exits the process if it takes too long."""
        # Not `asyncio.timeout`: a cancelled task may take its time, or ignore the cancellation.
        working = asyncio.ensure_future(work)
        if not (await asyncio.wait((working,), timeout=max(0.0, self._shutdown.seconds_left())))[0]:
            LOG.error(
                "something is still running %g s after draining should have ended; exiting without it", CLOSE_SECONDS
            )
            exit_now(0)
        await working


async def _drain(frontend: Frontend, grpc_server: GrpcServer, rest_server: RestServer | None) -> None:
    """First stops clients from coming, then refuses new requests, then lets those in flight finish."""
    seconds, count = frontend.options.drain_seconds, frontend.in_flight
    LOG.info("draining: %d requests in flight, at most %g s", count, seconds)
    frontend.draining = True
    await grpc_server.drain()
    if rest_server is not None:
        await rest_server.close()
    _, done = await asyncio.gather(grpc_server.stop(seconds), frontend.wait_until_idle(seconds))
    if not done:
        LOG.error("requests dropped because they were still in flight after %g s: %d", seconds, frontend.in_flight)
    if rest_server is not None:
        await rest_server.stop()


async def _watch_config_file(frontend: Frontend) -> None:
    """Reloads --model_config_file when its content has changed."""
    file = ModelConfigFile(frontend.options)
    while file.poll_seconds is not None:
        await asyncio.sleep(file.poll_seconds)
        config = await asyncio.to_thread(file.read_if_changed, time.monotonic())
        if config is not None:
            try:
                await frontend.reload_process(protos.ReloadConfigRequest(config=config))
            except StatusError as error:
                file.log_result(error)
            except Exception as error:  # noqa: BLE001  `unexpected` logs it; the next change must still be seen
                file.log_result(unexpected(error, "the configuration file"))
            else:
                file.log_result(None)


def _log_models(frontend: Frontend, seconds: float) -> None:
    """Logs which models are served, and on which addresses."""
    options = frontend.options
    addresses = [f"gRPC on {options.host}:{options.port}"] if options.port else []
    addresses += [f"gRPC on {options.grpc_socket_path}"] if options.grpc_socket_path else []
    addresses += [f"REST on {options.host}:{options.rest_api_port}"] if options.rest_api_port else []
    for name in frontend.model_names:
        versions = list(frontend.version_statuses(name))
        for one in versions:
            if one.state == AVAILABLE:
                LOG.info("model %s version %d is served", name, one.version)
            elif one.status.error_message:
                LOG.error("model %s version %d is not served: %s", name, one.version, one.status.error_message)
        if not any(one.state == AVAILABLE for one in versions):
            LOG.warning("model %s: no version is served", name)
    LOG.info("%s; ready after %.1f s", ", ".join(addresses), seconds)


def page_address(options: ServerOptions) -> str:
    """The URL of the page, for a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(options.host, options.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if options.tls else 'http'}://{host}:{options.rest_api_port}/"


@contextlib.asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    """Runs the coroutine alongside the block, until either ends. A failure is logged, and the block continues."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _log_failure(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        LOG.error("a background task has failed", exc_info=failure)
