"""The client for code that waits."""

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
    """Asks one served model; may be used from several threads. Connects at the first request.

    Args:
        url: `grpc://host:8500`, `grpcs://…`, `http://host:8501` or `https://…`, optionally with `/MODEL`;
            see `serving.client.endpoint.parse`.
        model: the served name, where the URL does not end with it.
        version, label: which version to ask, at most one of them; default: the newest.
        signature: of `predict` and `predict_arrays`.
        timeout: seconds that a call may take, with all its batches and retries; None for no limit.
        batch_size: texts in one request.
        in_flight: requests of one call that are sent at once.
        retries: how often a request is tried again while the server is not available, with exponential backoff and
            jitter; nothing else is tried again.
        tls: PEM files, for grpcs:// and https://.
        headers: sent with every request (gRPC's metadata), such as {"authorization": "Bearer ..."}.
        max_answer_bytes: of one answer; a larger one is a `ServerError`.

    Raises:
        OptionsError: the URL or an argument cannot be used; it says which and why.

    Every method takes a `timeout` of its own, and raises one of `serving.client.errors` where it fails.
    """

    def __init__(self, url: str, model: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self._settings = ClientSettings(url, model, **options)
        settings = self._settings
        # gRPC and httpx take 0.1 s each to import: only the one that is needed.
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
        """Answers texts, in their order; for a model that Transom exported.

        Args:
            texts: any number of strings; they are sent in batches.
            pairs: the second texts, one for each text, for a model about pairs.

        Raises:
            ClientError: the first request that failed.
        """
        answers: list[Prediction] = self._run(self._settings.predict(texts, pairs, timeout))
        return answers

    def predict_arrays(
        self, inputs: Mapping[str, Any], *, signature: str | None = None, timeout: float | None = DEFAULT
    ) -> dict[str, np.ndarray]:
        """Runs any signature of any model, in one request.

        Args:
            inputs: name to array or (nested) list. Arrays keep their dtype; Python's numbers go as float32 or int32,
                strings as they are.

        Returns:
            Output name to array; strings are `bytes` in an object array.

        Raises:
            ClientError: the server refused it, or could not be reached.
            TypeError: an input is no array of numbers or strings.
        """
        outputs: dict[str, np.ndarray] = self._run(self._settings.predict_arrays(inputs, signature, timeout))
        return outputs

    def classify(
        self, examples: Sequence[Example], *, signature: str = "classify", timeout: float | None = DEFAULT
    ) -> list[list[tuple[str, float]]]:
        """TF Serving's Classify: for each example (feature name to value or list) its classes with their scores.

        Raises:
            ClientError: the server refused it, or could not be reached.
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
            ClientError: the server refused it, or could not be reached.
        """
        numbers: list[float] = self._run(self._settings.infer("regress", examples, signature, timeout))
        return numbers

    def status(self, *, timeout: float | None = DEFAULT) -> list[VersionStatus]:
        """The versions that the server knows of the model, newest first.

        Raises:
            ClientError: the server refused it, or could not be reached.
        """
        versions: list[VersionStatus] = self._run(self._settings.status(timeout))
        return versions

    def metadata(self, *, timeout: float | None = DEFAULT) -> ModelMetadata:
        """The version that is asked, and its signatures.

        Raises:
            ClientError: the server refused it, or could not be reached.
        """
        metadata: ModelMetadata = self._run(self._settings.metadata(timeout))
        return metadata

    def reload_config(self, config: Any, *, timeout: float | None = DEFAULT) -> None:
        """Has the server serve by another configuration, of all its models; returns when they are available.

        Args:
            config: a `serving.wire.protos.ModelServerConfig`.

        Raises:
            ClientError: the server refused it, could not be reached, or this is no grpc:// client.
        """
        self._run(self._settings.reload_config(config, timeout))

    def close(self) -> None:
        """Ends the connection; the client cannot be used any more."""
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
                    outcome = self._do(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return end.value

    def _do(self, step: Step) -> Any:
        if isinstance(step, SendCall):
            return self._connection.send(step.call, step.timeout)
        if isinstance(step, Gather):
            return self._gather(step)
        return time.sleep(step.seconds)

    def _gather(self, step: Gather) -> list[Any]:
        if len(step.flows) == 1:  # no thread for the usual case
            return [self._run(step.flows[0])]
        futures = [self._pool.submit(self._run, flow) for flow in step.flows]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
