"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from serving.client.client_settings import DEFAULT, ClientOptions, ClientSettings
from serving.client.errors import ClientError
from serving.client.flows import Flow, Gather, SendCall, Step
from serving.client.model_calls import Example, ModelMetadata, VersionStatus
from serving.client.outputs import Prediction

if TYPE_CHECKING:
    import numpy as np


class Client:
    """Queries one served model. Thread-safe. Connects at the first request.

    Args:
        url: `grpc://host:8500`, `grpcs://…`, `http://host:8501` or `https://…`, optionally with `/MODEL`;
            see `serving.client.endpoint.parse`.
        model: the served name, if the URL does not end with it.
        version, label: the version to query, at most one of them; default: the newest.
        signature: for `predict` and `predict_arrays`.
        timeout: seconds for a whole call, with all its batches and retries; None for no limit.
        batch_size: texts per request.
        in_flight: concurrent requests of one call.
        retries: how often a request is repeated while the server is unavailable, with exponential backoff and jitter;
            other errors are not retried.
        tls: PEM files, for grpcs:// and https://.
        headers: sent with every request (as gRPC metadata), such as {"authorization": "Bearer ..."}.
        max_answer_bytes: limit for one response; a larger one is a `ServerError`.

    Raises:
        OptionsError: the URL or an argument is invalid.

    Every method takes a `timeout` and raises the errors of `serving.client.errors`.
    """

    def __init__(self, url: str, model: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self._settings = ClientSettings(url, model, **options)
        settings = self._settings
        # Imported here because gRPC and httpx take 0.1 s each to import.
        if settings.target.grpc:
            from serving.client.grpc_wire import GrpcChannel

            self._connection: Any = GrpcChannel(*settings.connection)
        else:
            from serving.client.rest_wire import RestConnection

            self._connection = RestConnection(*settings.connection)
        self._pool = ThreadPoolExecutor(self._settings.in_flight, thread_name_prefix="serving.client")

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, timeout: float | None = DEFAULT
    ) -> list[Prediction]:
        """Predictions for texts, in their order; for a model that Transom exported.

        Args:
            texts: any number of strings; they are sent in batches.
            pairs: the second text for each text, for a model of text pairs.

        Raises:
            ClientError: the first request that failed.
        """
        predictions: list[Prediction] = self._run(self._settings.predict(texts, pairs, timeout))
        return predictions

    def predict_arrays(
        self, inputs: Mapping[str, Any], *, signature: str | None = None, timeout: float | None = DEFAULT
    ) -> dict[str, np.ndarray]:
        """Runs any signature of any model, in one request.

        Args:
            inputs: name to array or (nested) list. Arrays keep their dtype; Python numbers become float32 or int32.

        Returns:
            Output name to array; strings are `bytes` in an object array.

        Raises:
            ClientError: the server refused the request or could not be reached.
            TypeError: an input is not an array of numbers or strings.
        """
        outputs: dict[str, np.ndarray] = self._run(self._settings.predict_arrays(inputs, signature, timeout))
        return outputs

    def classify(
        self, examples: Sequence[Example], *, signature: str = "classify", timeout: float | None = DEFAULT
    ) -> list[list[tuple[str, float]]]:
        """TF Serving's Classify: for each example (feature name to value or list), its classes and scores.

        Raises:
            ClientError: the server refused the request or could not be reached.
        """
        classes: list[list[tuple[str, float]]] = self._run(
            self._settings.infer("classify", examples, signature, timeout)
        )
        return classes

    def regress(
        self, examples: Sequence[Example], *, signature: str = "regress", timeout: float | None = DEFAULT
    ) -> list[float]:
        """TF Serving's Regress: a number for each example (feature name to value or list).

        Raises:
            ClientError: the server refused the request or could not be reached.
        """
        numbers: list[float] = self._run(self._settings.infer("regress", examples, signature, timeout))
        return numbers

    def status(self, *, timeout: float | None = DEFAULT) -> list[VersionStatus]:
        """The model's versions on the server, newest first.

        Raises:
            ClientError: the server refused the request or could not be reached.
        """
        versions: list[VersionStatus] = self._run(self._settings.status(timeout))
        return versions

    def metadata(self, *, timeout: float | None = DEFAULT) -> ModelMetadata:
        """The version that requests get, and its signatures.

        Raises:
            ClientError: the server refused the request or could not be reached.
        """
        metadata: ModelMetadata = self._run(self._settings.metadata(timeout))
        return metadata

    def reload_config(self, config: Any, *, timeout: float | None = DEFAULT) -> None:
        """Replaces the configuration of all models of the server; returns when they are available.

        Args:
            config: a `serving.wire.protos.ModelServerConfig`.

        Raises:
            ClientError: the server refused it or could not be reached, or this is not a grpc:// client.
        """
        self._run(self._settings.reload_config(config, timeout))

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

    def _run(self, flow: Flow) -> Any:
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
            return end.value

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
