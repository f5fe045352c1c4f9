"""The synchronous client."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from serving.client import flows
from serving.client.base_client import BaseClient
from serving.client.errors import ClientError
from serving.client.flows import Flow, Gather, SendCall, Step

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(make_flow: Callable[Concatenate[BaseClient, P], Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    """A method that runs the flow and returns its result."""

    @functools.wraps(make_flow)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._run(make_flow(client, *args, **kwargs))

    return method


class Client(BaseClient):
    """Queries one served model. Thread-safe. `BaseClient` describes the arguments."""

    predict = _blocking(flows.predict)
    predict_arrays = _blocking(flows.predict_arrays)
    classify = _blocking(flows.classify)
    regress = _blocking(flows.regress)
    status = _blocking(flows.status)
    metadata = _blocking(flows.metadata)
    reload_config = _blocking(flows.reload_config)

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.in_flight, thread_name_prefix="serving.client")

    def close(self) -> None:
        """Closes the connection; the client can no longer be used."""
        self._pool.shutdown(cancel_futures=True)
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = self._perform(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _perform(self, step: Step) -> Any:
        if isinstance(step, SendCall):
            return self._connection.send(step.call, step.timeout)
        if isinstance(step, Gather):
            return self._gather(step)
        return time.sleep(step.seconds)

    def _gather(self, step: Gather) -> list[Any]:
        if len(step.flows) == 1:  # the usual case needs no thread
            return [self._run(step.flows[0])]
        futures = [self._pool.submit(self._run, flow) for flow in step.flows]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
