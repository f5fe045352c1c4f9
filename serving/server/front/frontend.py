"""What gRPC and REST have in common: admission, counting, the way to the other workers, and when to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from serving.errors import Code, StatusError
from serving.server.api_keys import ApiKey, ApiKeys
from serving.server.calls.budget import Budget, Reservation
from serving.server.calls.request_context import RequestContext
from serving.server.calls.service import Service
from serving.server.calls.worker_threads import WorkerThreads
from serving.server.front.connections import Connections, limit_of_connections
from serving.server.front.profiling import Profiler
from serving.server.front.server_metrics import MAX_CELLS, PROCESS, VERSION_STATE, Metrics
from serving.server.front.single_flight import Coalesced
from serving.server.options import ServerOptions
from serving.server.run.process_memory import trim_soon
from serving.wire import protos

AVAILABLE = 30  # ModelVersionStatus.State

_MAX_RELOADS = 16
_PAGED_AT_ONCE_BYTES = 2**14

Reload = Callable[[Any], Awaitable[Any]]
Scrape = Callable[[], Awaitable[str]]


class Frontend:
    """One process's service as both front ends see it.

    Args:
        service: the models.
        options: of the server.
        reload: `ReloadConfigRequest` to `ReloadConfigResponse` for the whole server; the default: this process alone.
        scrape: the page of metrics of the whole server; the default: this process's.
    """

    def __init__(
        self,
        service: Service,
        options: ServerOptions,
        *,
        reload: Reload | None = None,
        scrape: Scrape | None = None,
        metrics: Metrics = PROCESS,
    ) -> None:
        self.service, self.options, self.metrics = service, options, metrics
        self.budget = Budget(options.max_pending_bytes, options.max_pending_rows, trim_soon)
        self.work = WorkerThreads()
        self.connections = Connections(limit_of_connections(options.max_connections), self._pressed)
        self.reload, self.scrape = reload or self.reload_here, Coalesced(scrape or self.page_here)
        self.profiler, self.keys = Profiler(), options.api_keys
        self._most = (
            options.max_message_bytes,
            options.max_request_rows,
            options.max_json_depth,
            options.max_json_values,
        )
        self.draining = False
        self.in_flight = 0
        self._names: tuple[str, ...] = ()
        self._configured(options.models)
        self._reloads: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def held(self) -> Reservation:
        """For a new request: it holds nothing yet. What carries it takes what comes, and releases it at the end."""
        return Reservation(self.budget)

    def call(self, held: Reservation, deadline: float | None, size: int) -> RequestContext:
        """A request on its way; `size` in bytes."""
        return RequestContext(self._most, held, deadline, size, self.work)

    def _pressed(self) -> bool:
        return self.budget.bytes > self.budget.max_bytes // 2

    def use_keys(self, keys: ApiKeys) -> None:
        """Asks for these API keys from now on."""
        self.keys = keys

    def authenticate(self, headers: Mapping[str, str]) -> ApiKey | None:
        """The API key that a request brings, None where none is asked for.

        Raises:
            StatusError: UNAUTHENTICATED.
        """
        return None if self.keys is None else self.keys.find(headers)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Takes one request in for as long as the block lasts.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: as many as may be are in flight.
        """
        if self.in_flight >= self.options.max_concurrent_requests:
            limit = self.options.max_concurrent_requests
            message = f"Too many requests in flight: {limit} (--max_concurrent_requests)"
            raise StatusError(Code.RESOURCE_EXHAUSTED, message)
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def idle(self, seconds: float) -> bool:
        """Waits until no request is in flight; False when some still are after so many seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def model_names(self) -> Iterable[str]:
        """The models of the configuration in force, as far as it came through this process."""
        return self._names

    async def reload_here(self, request: Any) -> Any:
        """Reloads the configuration of this process alone. It goes on when the caller has left: half of it is no
        configuration.

        Raises:
            StatusError: see `Service.reload_config`; RESOURCE_EXHAUSTED, too many of them wait for each other.
        """
        if len(self._reloads) >= _MAX_RELOADS:
            message = f"{len(self._reloads)} reloads are waiting for each other. Ask again when they are done"
            raise StatusError(Code.RESOURCE_EXHAUSTED, message)
        task = asyncio.ensure_future(self._reload(request))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return await asyncio.shield(task)

    async def _reload(self, request: Any) -> Any:
        try:
            response = await self.service.reload_config(request)
        except StatusError as error:
            if error.code is Code.UNKNOWN:
                self._configured(request.config)
            raise
        self._configured(request.config)
        return response

    def _configured(self, config: Any) -> None:
        self._names = tuple(one.name for one in config.model_config_list.config)
        self.metrics.configured(self._names)

    async def page_here(self) -> str:
        """Prometheus's page of this process alone."""
        self.set_states()
        return await paged(self.metrics.dump())

    def set_states(self) -> None:
        """Brings the gauge of the versions' states up to date."""
        states: dict[tuple[str, ...], int] = {}
        for name in self._names[:MAX_CELLS]:
            for one in self.versions(name):
                states[name, str(one.version)] = int(one.state)
        self.metrics.set_gauges(VERSION_STATE, states)

    def versions(self, name: str) -> Iterable[Any]:
        """The `ModelVersionStatus`es of a model, none where it is unknown."""
        try:
            request = protos.GetModelStatusRequest(model_spec=protos.ModelSpec(name=name))
            return list(self.service.get_model_status(request).model_version_status)
        except StatusError:
            return []

    def available(self, name: str) -> bool:
        """Whether a version of the model is served."""
        return any(one.state == AVAILABLE for one in self.versions(name))


def since(start: float) -> float:
    """Microseconds since a `time.perf_counter()`."""
    return (time.perf_counter() - start) * 1e6


async def paged(dump: bytes) -> str:
    """Prometheus's page of what a `Metrics` dumped. Other requests do not wait for the long one of many models."""
    if len(dump) <= _PAGED_AT_ONCE_BYTES:
        return Metrics.merged((dump,)).page()
    return await asyncio.to_thread(lambda: Metrics.merged((dump,)).page())
