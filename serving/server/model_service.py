"""The service behind the front ends: it keeps the models up to date and runs them in threads. See `Service`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.errors import Code, OptionsError, StatusError, invalid_argument
from serving.server.calls.example_inference import ITEM_BYTES, plan_classify, plan_multi_inference, plan_regress
from serving.server.calls.inference import RunPlan, plan_predict, response_model_spec, signature_key
from serving.server.calls.request_context import RequestContext
from serving.server.calls.servable import DEFAULT_SIGNATURE
from serving.server.calls.service_interface import Arrays, PredictResult
from serving.server.models.manager import ModelManager, OnState
from serving.server.models.served_version import ServedVersion
from serving.server.options import ServerOptions
from serving.server.run.batching import Batcher
from serving.server.run.batching_options import BatchingOptions, batching_options
from serving.server.run.executor import SettledTasks, Task, TaskExecutor, ThreadExecutor, cores
from serving.server.run.lanes import Lanes
from serving.server.run.output_sizes import RunSize
from serving.server.run.run_memory import RunMemory
from serving.wire.protos import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelSpec,
    ReloadConfigResponse,
    SignatureDefMap,
)

SIGNATURE_DEF = "signature_def"

OnRun = Callable[[str, float], None]


class ModelService:
    """Implements `Service`.

    Args:
        options: see `ServerOptions`.
        on_run: called with model and seconds after each successful run; for a batch, after each of its requests.
        on_state: called with model, version and the name of its new state.

    Raises:
        OptionsError: a batching parameter is not supported.
    """

    def __init__(self, options: ServerOptions, on_run: OnRun | None = None, on_state: OnState | None = None) -> None:
        self._options, self._on_run, self._on_state = options, on_run, on_state
        if options.batching is not None:
            batching_options(options.batching)
        self._check_method = options.enable_signature_method_name_check
        self._manager: ModelManager
        self._settled: SettledTasks
        self._memory: RunMemory
        self._executors: dict[BatchingOptions | None, TaskExecutor] = {}
        self._loop_executors: dict[BatchingOptions | None, TaskExecutor] = {}
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Loads the configured models; returns when each is served or has failed. Then keeps them up to date.

        Raises:
            OptionsError: the configuration of the models cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._settled = SettledTasks(self._loop)
        self._memory = RunMemory(self._options.workers, self._threads())
        self._manager = ModelManager(self._options, self._on_state)
        try:
            await self._manager.reload(self._options.models)
        except StatusError as error:
            # UNKNOWN: a model is not available yet; it is served as soon as it is.
            if error.code is not Code.UNKNOWN:
                fix = "change the model's flags or --model_config_file"
                if error.code is Code.FAILED_PRECONDITION:
                    fix = "set --allow_version_labels_for_unavailable_models, or assign labels once versions are served"
                raise OptionsError("the models' configuration cannot be used", got=error.message, fix=fix) from error

    async def stop(self) -> None:
        """Waits for the runs in progress and unloads everything."""
        await self._manager.stop()
        for executors in (self._executors, self._loop_executors):
            for executor in executors.values():
                await self._loop.run_in_executor(None, executor.stop)
            executors.clear()

    def _executor(self, batching: BatchingOptions | None, may_loop: bool) -> TaskExecutor:
        """Models with the same batching share threads. Runs that may loop have separate ones and block no others."""
        executors = self._loop_executors if may_loop else self._executors
        executor = executors.get(batching)
        if executor is None:
            threads = (batching and batching.num_batch_threads) or self._threads()
            executor = executors[batching] = self._lanes(batching, threads)
        return executor

    def _lanes(self, batching: BatchingOptions | None, threads: int) -> TaskExecutor:
        memory, settled = self._memory, self._settled

        def lane(size: RunSize) -> TaskExecutor:
            low_priority = size is not RunSize.SMALL
            prefix = f"{size.name.lower()}_" if low_priority else ""
            if batching is None:
                run = memory.run if size is RunSize.LARGE else memory.run_small
                return ThreadExecutor(threads, settled, run, f"transom_{prefix}run", low_priority)
            options = dataclasses.replace(batching, thread_pool_name=prefix + batching.thread_pool_name)
            if size is RunSize.LARGE:
                return Batcher(options, threads, settled, memory.run, low_priority=low_priority)
            return Batcher(options, threads, settled, memory.run_batch, memory.max_batch_rows, low_priority)

        return Lanes(lane, memory.sizes.size)

    def _threads(self) -> int:
        """Concurrent runs: one if there are several workers, each with one core; else one per core."""
        if self._options.inter_op_parallelism:
            return self._options.inter_op_parallelism
        return 1 if self._options.workers > 1 else cores()

    def ready(self) -> bool:
        return self._manager.ready()

    async def predict(
        self, model_spec: Any, inputs: Arrays, output_filter: Sequence[str] = (), call: RequestContext | None = None
    ) -> PredictResult:
        if model_spec is None:
            raise invalid_argument("Missing ModelSpec")
        version = self._manager.acquire(model_spec)
        try:
            name = signature_key(model_spec)
            plan = plan_predict(_signatures(version), name, inputs, output_filter, self._check_method)
            future = self._submit(version, plan, call)
        except BaseException:
            version.release()
            raise
        return PredictResult(response_model_spec(model_spec, version.number), plan.finish(await future))

    async def classify(self, request: Any, call: RequestContext | None = None) -> Any:
        return await self._run_examples(plan_classify, request, _spec_of(request), call)

    async def regress(self, request: Any, call: RequestContext | None = None) -> Any:
        return await self._run_examples(plan_regress, request, _spec_of(request), call)

    async def multi_inference(self, request: Any, call: RequestContext | None = None) -> Any:
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        return await self._run_examples(plan_multi_inference, request, spec, call)

    async def _run_examples(
        self, make_plan: Callable[..., RunPlan], request: Any, model_spec: Any, call: RequestContext | None
    ) -> Any:
        call = call or RequestContext()
        version = self._manager.acquire(model_spec)
        try:
            arguments = _signatures(version), request, version.number, self._check_method, call.limits
            plan = await call.run(call.size, make_plan, *arguments)
            future = self._submit(version, plan, call)
        except BaseException:
            version.release()
            raise
        outputs = await future
        return await call.run(ITEM_BYTES * sum([array.size for array in outputs]), plan.finish, outputs)

    def _submit(
        self, version: ServedVersion, plan: RunPlan, call: RequestContext | None
    ) -> asyncio.Future[list[np.ndarray]]:
        """Queues a run for the threads. The version is released when the run ends, even if the caller has left."""

        def finished(seconds: float | None) -> None:
            version.release()
            if call is not None:
                call.held.leave()
            if self._on_run is not None and seconds is not None:
                self._on_run(version.model, seconds)

        future: asyncio.Future[list[np.ndarray]] = self._loop.create_future()
        deadline = call.deadline if call else None
        expires = None if deadline is None else time.monotonic() + deadline - self._loop.time()
        assert version.servable is not None, "`acquire` returns only available versions"
        task = Task(version.servable, plan.feeds, plan.fetches, future, expires, finished)
        self._executor(version.batching, version.servable.is_unbounded(plan.fetches)).submit(task)
        if call is not None:
            call.held.keep()
        task.watch()
        return future

    def inputs_of(self, model_spec: Any, signature_name: str) -> Mapping[str, int]:
        version, name = self._manager.acquire(model_spec), signature_name or DEFAULT_SIGNATURE
        try:
            signature = _signatures(version).get(name)
            if signature is None:  # REST's error (`GetInfoMap`) where gRPC has FAILED_PRECONDITION
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            return signature.input_dtypes  # type: ignore[no-any-return]  # `_signatures` is untyped
        finally:
            version.release()

    def get_model_metadata(self, request: Any) -> Any:
        model_spec = _spec_of(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {name} is not supported")
        version = self._manager.acquire(model_spec)
        try:
            definitions = SignatureDefMap()
            for name, signature in _signatures(version).items():
                definitions.signature_def[name].CopyFrom(signature.definition)
        finally:
            version.release()
        response = GetModelMetadataResponse(model_spec=ModelSpec(name=version.model))
        response.model_spec.version.value = version.number
        response.metadata[SIGNATURE_DEF].type_url = f"type.googleapis.com/{definitions.DESCRIPTOR.full_name}"
        response.metadata[SIGNATURE_DEF].value = definitions.SerializeToString()
        return response

    def get_model_status(self, request: Any) -> Any:
        model_spec = _spec_of(request)
        versions = self._manager.versions(model_spec.name)
        if model_spec.HasField("version"):
            number = model_spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise StatusError(Code.NOT_FOUND, f"Could not find version {number} of model {model_spec.name}")
        if not versions:
            raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {model_spec.name}")
        response = GetModelStatusResponse()
        for version in versions:
            status = response.model_version_status.add(version=version.number, state=version.state.value).status
            status.SetInParent()
            if version.error is not None:
                status.error_code, status.error_message = version.error.code.number, version.error.message
        return response

    async def reload_config(self, request: Any) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        await self._manager.reload(request.config)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _signatures(version: ServedVersion) -> Any:
    assert version.servable is not None, "`acquire` returns only available versions"
    return version.servable.signatures


def _spec_of(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec
