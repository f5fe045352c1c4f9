"""Keeps models served: finds versions on disk, loads them next to the served ones, swaps and unloads them.

Everything here runs in the event loop, except slow work: reading folders, loading and freeing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.servable import Servable
from serving.server.models.config_changes import Labels, check_config, labels_of
from serving.server.models.served_model import ServedModel, check_served
from serving.server.models.served_version import ServedVersion, VersionState
from serving.server.models.version_loading import load_with_batching
from serving.server.models.version_sources import Scan, aspired_of_all
from serving.server.options import ServerOptions
from serving.server.run.batching_options import BatchingOptions
from serving.server.run.executor import internal_error

_log = logging.getLogger(__name__)

_SCANNED_AT_ONCE = 64

_CANCELLED = StatusError(Code.CANCELLED, "Loading of servable cancelled")

OnState = Callable[[str, int, str], None]


class ModelManager:
    """Keeps the models of a configuration served.

    Args:
        options: see `ServerOptions`.
        on_state: called with model, version and the name of its new state.
    """

    def __init__(self, options: ServerOptions, on_state: OnState | None = None) -> None:
        self._options, self._on_state = options, on_state
        self._models: dict[str, ServedModel] = {}
        self._labels: Labels = {}
        self._config: Any = None
        self._changed = asyncio.Event()
        self._was_ready = False
        self._reloading = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(4, "transom_models")

    def acquire(self, model_spec: Any) -> ServedVersion:
        """The version that a `ModelSpec` selects; it stays loaded until released.

        Raises:
            StatusError: NOT_FOUND, it is not served; INVALID_ARGUMENT, no name, or an unknown label.
        """
        name = model_spec.name
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = model_spec.WhichOneof("version_choice")
        model = self._models.get(name)
        if choice is None:
            found, request = model.latest if model else None, f"Latest({name})"
        else:
            number = model_spec.version.value if choice == "version" else self._labelled(name, model_spec.version_label)
            found, request = model.available.get(number) if model else None, f"Specific({name}, {number})"
        if found is None:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {request}")
        found.acquire()
        return found

    def _labelled(self, name: str, label: str) -> int:
        version = self._labels.get(name, {}).get(label)
        if version is None:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return version

    def versions(self, name: str) -> list[ServedVersion]:
        """All versions of a model, past ones included, newest first."""
        model = self._models.get(name)
        return [] if model is None else [model.versions[number] for number in sorted(model.versions, reverse=True)]

    def ready(self) -> bool:
        """Whether every configured model has an available version.

        Once the server has been ready, a model added by a reload does not count until it has been served once: callers
        of the other models need not go elsewhere while it is loading.
        """
        models = [model for model in self._models.values() if model.config is not None]
        self._was_ready = self._was_ready or all(model.latest is not None for model in models)
        counted = [model for model in models if model.has_served or not self._was_ready] or models
        return all(model.latest is not None for model in counted)

    async def reload(self, config: Any) -> None:
        """Applies a `ModelServerConfig` and waits for its new models.

        Raises:
            StatusError: the config is invalid and changes nothing; or UNKNOWN, a new model did not become available, or
                a changed model has no versions in its new place. Then the old versions stay served, and the new ones
                are served as soon as possible.
        """
        async with self._reloading:
            if config.WhichOneof("config") is None:
                _log.info("Taking no action for empty config.")
                return
            check_config(self._config, config)
            allow = self._options.allow_version_labels_for_unavailable_models
            self._labels = labels_of(config, self._labels, self._is_available, allow)
            again, self._config = config == self._config, config
            new, changed = await self._configure({one.name: one for one in config.model_config_list.config})
            await self._until(lambda: all(model.settled for model in new))
            # A repeated request for a failed config fails again.
            check_served(new, self._models.values() if again else changed)

    async def stop(self) -> None:
        """Unloads each version as soon as nothing runs in it."""
        async with self._reloading:
            await self._configure({})
            await self._until(
                lambda: all(
                    one.state is VersionState.END for model in self._models.values() for one in model.versions.values()
                )
            )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=False)  # nothing is still loading, or it is abandoned

    def _is_available(self, name: str, version: int) -> bool:
        return name in self._models and version in self._models[name].available

    async def _configure(self, configs: dict[str, Any]) -> tuple[list[ServedModel], list[ServedModel]]:
        """Adds, changes and removes models; returns the new ones, and those that get other versions."""
        for name in self._models.keys() - configs.keys():
            self._models[name].config = None
            self._aspire(name, {})
            if not self._models[name].versions:  # there is nothing to report about it
                del self._models[name]
        new = [name for name in configs if name not in self._models or self._models[name].config is None]
        kept = [name for name in configs if name not in new]
        changed = [name for name in kept if self._models[name].selects_other_versions(configs[name])]
        for name, config in configs.items():
            self._models.setdefault(name, ServedModel(config)).config = config
        for name in new:
            self._models[name].has_served = False
        for name in (*new, *changed):
            self._models[name].awaited = True
        await self._scan(configs)
        if self._watching is None and self._options.file_system_poll_wait_seconds > 0:
            self._watching = self._spawn(self._watch())
        return [self._models[name] for name in new], [self._models[name] for name in changed]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._options.file_system_poll_wait_seconds)
            await self._scan({name: model.config for name, model in self._models.items() if model.config is not None})

    async def _scan(self, configs: Mapping[str, Any]) -> None:
        """Looks for the versions of models in groups, so that thousands of models do not block the loop."""
        names = list(configs)
        for start in range(0, len(names), _SCANNED_AT_ONCE):
            group = {name: configs[name] for name in names[start : start + _SCANNED_AT_ONCE]}
            found = await self._outcome(aspired_of_all, list(group.values()))
            for (name, config), one in zip(group.items(), found, strict=True):
                self._apply_scan(name, config, one)

    def _apply_scan(self, name: str, config: Any, scan: Scan) -> None:
        model = self._models.get(name)
        if model is None or model.config is not config:  # changed meanwhile, which starts another scan
            return
        aspired = model.apply_scan(scan)
        if aspired is not None:
            self._aspire(name, aspired)

    def _aspire(self, name: str, aspired: dict[int, Path]) -> None:
        model = self._models[name]
        for version in model.aspire(aspired, lambda number, path: ServedVersion(name, number, path, self._moved)):
            version.move(VersionState.START)
            self._spawn(self._load(version))
        self._unload_superfluous(model)
        self._wake()

    def _unload_superfluous(self, model: ServedModel) -> None:
        for version in model.superfluous():
            version.move(VersionState.UNLOADING)
            version.when_drained(partial(self._spawn_free, version))

    def _spawn_free(self, version: ServedVersion) -> None:
        self._spawn(self._free(version))

    async def _load(self, version: ServedVersion) -> None:
        error: StatusError | None = None
        for attempt in range(self._options.max_num_load_retries + 1):
            if attempt:
                await self._pause_before_retry(version)
                _log.info("Retrying of Loading servable: %s retry: %d", version, attempt)
            async with self._loading:
                if not version.aspired:
                    error = _CANCELLED
                    break
                if not attempt:
                    version.move(VersionState.LOADING)
                loaded = await self._outcome(load_with_batching, version.path, self._options)
            if not isinstance(loaded, StatusError):
                await self._serve(version, *loaded)
                return
            error = loaded
            version.failure = error
            self._wake()
            _log.error("Loading servable: %s failed: %s: %s", version, error.code.name, error.message)
        version.move(VersionState.END, error)
        self._unload_superfluous(self._models[version.model])

    async def _pause_before_retry(self, version: ServedVersion) -> None:
        no_longer_aspired = self._until(lambda: not version.aspired)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(no_longer_aspired, self._options.load_retry_interval_micros / 1e6)

    async def _serve(self, version: ServedVersion, servable: Servable, batching: BatchingOptions | None) -> None:
        if not version.aspired:
            await self._outcome(servable.close)
            self._end(version, _CANCELLED)
            return
        version.servable, version.batching = servable, batching
        version.move(VersionState.AVAILABLE)
        self._unload_superfluous(self._models[version.model])

    async def _free(self, version: ServedVersion) -> None:
        servable, version.servable = version.servable, None
        if servable is not None:
            await self._outcome(servable.close)
        self._end(version)

    def _end(self, version: ServedVersion, error: StatusError | None = None) -> None:
        """Ends a version that is no longer aspired, and loads it again if it has become so meanwhile."""
        version.move(VersionState.END, error)
        if version.aspired:
            versions = self._models[version.model].versions.values()
            paths = {one.number: one.path for one in versions if one.aspired}
            version.aspired = False
            self._aspire(version.model, paths)

    async def _outcome(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function in a thread, or its error: nothing on disk may end the server."""
        running = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        outcome: Any = (await asyncio.gather(running, return_exceptions=True))[0]
        if isinstance(outcome, BaseException) and not isinstance(outcome, StatusError):
            _log.error("%s failed", function, exc_info=outcome)
            return internal_error(outcome)
        return outcome

    def _moved(self, version: ServedVersion) -> None:
        self._models[version.model].update()
        _log.info("Servable %s is %s", version, version.state.name)
        if self._on_state is not None:
            self._on_state(version.model, version.number, version.state.name)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()
