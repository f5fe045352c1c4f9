"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from serving.client.client_settings import DEFAULT, ClientOptions, ClientSettings
from serving.client.errors import ClientError
from serving.client.flows import Flow, Gather, SendCall, Step
from serving.client.model_calls import Example, ModelMetadata, VersionStatus
from serving.client.outputs import Prediction

if TYPE_CHECKING:
    import numpy as np


class AsyncClient:
    """`serving.client.Client` for asyncio, with the same arguments and methods.

    Create and use it in one running event loop, in any number of tasks.

    Raises:
        OptionsError: the URL or an argument is invalid.
    """

    def __init__(self, url: str, model: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self._settings = ClientSettings(url, model, **options)
        settings = self._settings
        # Imported here because gRPC and httpx take 0.1 s each to import.
        if settings.target.grpc:
            from serving.client.grpc_wire import AsyncGrpcChannel

            self._connection: Any = AsyncGrpcChannel(*settings.connection)
        else:
            from serving.client.rest_wire import AsyncRestConnection

            self._connection = AsyncRestConnection(*settings.connection)

    async def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, timeout: float | None = DEFAULT
    ) -> list[Prediction]:
        """See `Client.predict`."""
        predictions: list[Prediction] = await self._run(self._settings.predict(texts, pairs, timeout))
        return predictions

    async def predict_arrays(
        self, inputs: Mapping[str, Any], *, signature: str | None = None, timeout: float | None = DEFAULT
    ) -> dict[str, np.ndarray]:
        """See `Client.predict_arrays`."""
        outputs: dict[str, np.ndarray] = await self._run(self._settings.predict_arrays(inputs, signature, timeout))
        return outputs

    async def classify(
        self, examples: Sequence[Example], *, signature: str = "classify", timeout: float | None = DEFAULT
    ) -> list[list[tuple[str, float]]]:
        """See `Client.classify`."""
        classes: list[list[tuple[str, float]]] = await self._run(
            self._settings.infer("classify", examples, signature, timeout)
        )
        return classes

    async def regress(
        self, examples: Sequence[Example], *, signature: str = "regress", timeout: float | None = DEFAULT
    ) -> list[float]:
        """See `Client.regress`."""
        numbers: list[float] = await self._run(self._settings.infer("regress", examples, signature, timeout))
        return numbers

    async def status(self, *, timeout: float | None = DEFAULT) -> list[VersionStatus]:
        """See `Client.status`."""
        versions: list[VersionStatus] = await self._run(self._settings.status(timeout))
        return versions

    async def metadata(self, *, timeout: float | None = DEFAULT) -> ModelMetadata:
        """See `Client.metadata`."""
        metadata: ModelMetadata = await self._run(self._settings.metadata(timeout))
        return metadata

    async def reload_config(self, config: Any, *, timeout: float | None = DEFAULT) -> None:
        """See `Client.reload_config`."""
        await self._run(self._settings.reload_config(config, timeout))

    async def close(self) -> None:
        """Closes the connection; the client can no longer be used."""
        await self._connection.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow) -> Any:
        try:
            step = next(flow)
            while True:
                try:
                    result = await self._perform(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            return end.value

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, SendCall):
            return await self._connection.send(step.call, step.timeout)
        if isinstance(step, Gather):
            return await self._gather(step)
        return await asyncio.sleep(step.seconds)

    async def _gather(self, step: Gather) -> list[Any]:
        slots = asyncio.Semaphore(self._settings.in_flight)

        async def run(flow: Flow) -> Any:
            async with slots:
                return await self._run(flow)

        tasks = [asyncio.create_task(run(flow)) for flow in step.flows]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
