"""What gRPC and REST share: admission, metrics, requests to the other workers, and draining."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from serving.errors import Code, StatusError
from serving.server.api_keys import ApiKey, ApiKeys
from serving.server.calls.request_context import RequestContext
from serving.server.calls.request_limits import Budget, Reservation
from serving.server.calls.service_interface import Service
from serving.server.calls.worker_threads import WorkerThreads
from serving.server.front.connections import Connections, connection_limit
from serving.server.front.profiling import Profiler
from serving.server.front.server_metrics import MAX_CELLS, PROCESS_METRICS, VERSION_STATE, Metrics
from serving.server.front.single_flight import SingleFlight
from serving.server.options import ServerOptions
from serving.server.run.process_memory import trim_soon
from serving.wire import protos

AVAILABLE = 30  # ModelVersionStatus.State

_MAX_RELOADS = 16
_RENDERED_INLINE_BYTES = 2**14

Reload = Callable[[Any], Awaitable[Any]]
Scrape = Callable[[], Awaitable[str]]


class Frontend:
    """The service of one process, as both front ends see it.

    Args:
        reload: `ReloadConfigRequest` to `ReloadConfigResponse` for the whole server; by default for this process alone.
        scrape: returns the metrics page of the whole server; by default that of this process.
        metrics: where requests are counted.

    Attributes:
        model_configs: name to `ModelConfig` in the configuration that this process last loaded.
        model_names: their names.
    """

    def __init__(
        self,
        service: Service,
        options: ServerOptions,
        *,
        reload: Reload | None = None,
        scrape: Scrape | None = None,
        metrics: Metrics = PROCESS_METRICS,
    ) -> None:
        self.service, self.options, self.metrics = service, options, metrics
        self.budget = Budget(options.max_pending_bytes, options.max_pending_rows, trim_soon)
        self.work = WorkerThreads()
        self.connections = Connections(connection_limit(options.max_connections), self._memory_short)
        self.reload, self.scrape = reload or self.reload_process, SingleFlight(scrape or self.process_page)
        self.profiler, self.keys = Profiler(), options.api_keys
        self._request_limits = (
            options.max_message_bytes,
            options.max_request_rows,
            options.max_json_depth,
            options.max_json_values,
        )
        self.draining = False
        self.in_flight = 0
        self.model_configs: dict[str, Any] = {}
        self.model_names: tuple[str, ...] = ()
        self._set_models(options.models)
        self._reloads: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def new_reservation(self) -> Reservation:
        """For a new request, which holds nothing yet. The transport takes what arrives, and releases it at the end."""
        return Reservation(self.budget)

    def new_call(self, held: Reservation, deadline: float | None, size: int) -> RequestContext:
        """The `RequestContext` of a new request; `size` in bytes."""
        return RequestContext(self._request_limits, held, deadline, size, self.work)

    def _memory_short(self) -> bool:
        return self.budget.bytes > self.budget.max_bytes // 2

    def set_keys(self, keys: ApiKeys) -> None:
        """Replaces the API keys."""
        self.keys = keys

    def authenticate(self, headers: Mapping[str, str]) -> ApiKey | None:
        """The API key of a request, None if none is required.

        Raises:
            StatusError: UNAUTHENTICATED.
        """
        return None if self.keys is None else self.keys.find(headers)

    @contextlib.contextmanager
    def request_slot(self) -> Iterator[None]:
        """Counts a request as in flight for the duration of the block.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the limit of requests in flight is reached.
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

    async def wait_until_idle(self, seconds: float) -> bool:
        """Waits until no request is in flight. Returns False if some still are after this many seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def reload_process(self, request: Any) -> Any:
        """Reloads the configuration of this process alone. It continues when the caller has left: half a reload is no
        configuration.

        Raises:
            StatusError: see `Service.reload_config`; RESOURCE_EXHAUSTED, too many reloads wait for each other.
        """
        if len(self._reloads) >= _MAX_RELOADS:
            message = f"{len(self._reloads)} reloads are already waiting. Try again when they are done"
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
                self._set_models(request.config)
            raise
        self._set_models(request.config)
        return response

    def _set_models(self, config: Any) -> None:
        self.model_configs = {one.name: one for one in config.model_config_list.config}
        self.model_names = tuple(self.model_configs)
        self.metrics.set_models(self.model_names)

    async def process_page(self) -> str:
        """The Prometheus page of this process alone."""
        self.update_state_gauge()
        return await render_page(self.metrics.dump())

    def update_state_gauge(self) -> None:
        """Updates the gauge of the versions' states."""
        states: dict[tuple[str, ...], int] = {}
        for name in self.model_names[:MAX_CELLS]:
            for one in self.version_statuses(name):
                states[name, str(one.version)] = int(one.state)
        self.metrics.set_gauges(VERSION_STATE, states)

    def version_statuses(self, name: str) -> Iterable[Any]:
        """The `ModelVersionStatus`es of a model; empty if it is unknown."""
        try:
            request = protos.GetModelStatusRequest(model_spec=protos.ModelSpec(name=name))
            return list(self.service.get_model_status(request).model_version_status)
        except StatusError:
            return []

    def is_available(self, name: str) -> bool:
        """Whether a version of the model is served."""
        return any(one.state == AVAILABLE for one in self.version_statuses(name))


def microseconds_since(start: float) -> float:
    """Microseconds since a `time.perf_counter()`."""
    return (time.perf_counter() - start) * 1e6


async def render_page(dump: bytes) -> str:
    """The Prometheus page of a `Metrics.dump`. A long one, of many models, is rendered in a thread."""
    if len(dump) <= _RENDERED_INLINE_BYTES:
        return Metrics.merged((dump,)).page()
    return await asyncio.to_thread(lambda: Metrics.merged((dump,)).page())
