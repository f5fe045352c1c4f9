"""Versions come and go under a base path, under load, broken ones among them."""

import asyncio
import itertools
import shutil

import numpy as np
import pytest
from tiny_servers import (
    AVAILABLE,
    END,
    LOADING,
    bias,
    config_of,
    floats,
    options_of,
    policy,
    publish,
    spec,
    states,
    status,
    until,
    with_core,
    withdraw,
)

from serving.errors import Code, StatusError


@pytest.mark.parametrize(
    ("fields", "served"),
    [
        ({}, [4]),
        ({"latest": {"num_versions": 2}}, [3, 4]),
        ({"all": {}}, [1, 3, 4]),
        ({"specific": {"versions": [1, 3, 9]}}, [1, 3]),
    ],
)
def test_the_policy_determines_which_versions_are_served(saved_models, tmp_path, fields, served):
    for version in (1, 3, 4):
        publish(saved_models[0], tmp_path, version)
    (tmp_path / "notes").mkdir()
    (tmp_path / "12").write_text("a file, no version")

    async def use(core):
        assert states(core) == dict.fromkeys(served, AVAILABLE)
        assert core.ready()

    with_core(options_of(policy(config_of(m=tmp_path), **fields)), use)


def test_a_new_version_takes_over_and_an_old_one_comes_back(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        assert await bias(core) == 1
        publish(saved_models[2], tmp_path, 2)
        await until(lambda: states(core) == {1: END, 2: AVAILABLE})
        assert await bias(core) == 2
        withdraw(tmp_path, 2)
        await until(lambda: states(core) == {1: AVAILABLE, 2: END})
        assert await bias(core) == 1
        withdraw(tmp_path, 1)
        await until(lambda: states(core) == {1: END, 2: END})
        with pytest.raises(StatusError, match="Servable not found for request: Latest"):
            await bias(core)
        assert not core.ready()

    with_core(options_of(config_of(m=tmp_path)), use)


def test_no_request_fails_and_none_is_wrong_while_versions_appear_and_vanish(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)
    answered = itertools.count()

    async def ask_on(core, seed, is_over):
        while not is_over.is_set():
            predicted = await core.predict(spec(), floats(seed, -seed))
            right = float(predicted.model_spec.version.value % 3)
            assert predicted.outputs["bias"].tolist() == [right, right]
            assert predicted.outputs["y"].tolist() == [seed + right, right - seed]
            next(answered)

    async def use(core):
        is_over = asyncio.Event()
        clients = [asyncio.create_task(ask_on(core, seed, is_over)) for seed in range(200)]
        for version in range(2, 8):
            publish(saved_models[version % 3], tmp_path, version)
            await until(lambda version=version: states(core).get(version) == AVAILABLE)
            if version > 2:
                shutil.rmtree(tmp_path / str(version - 2))
        withdraw(tmp_path, 7)
        await until(lambda: states(core)[6] == AVAILABLE and states(core)[7] == END)
        is_over.set()
        await asyncio.gather(*clients)

    with_core(options_of(config_of(m=tmp_path)), use)
    assert next(answered) > 1000


def test_a_running_request_keeps_its_version_loaded(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)
    slow = {"n": np.array([150_000], np.int32)}
    happened = []

    async def use(core):
        running = asyncio.create_task(core.predict(spec(signature="slow"), slow))
        running.add_done_callback(lambda _: happened.append("answered"))
        await asyncio.sleep(0.05)
        publish(saved_models[2], tmp_path, 2)
        predicted = await running
        assert predicted.model_spec.version.value == 1
        assert predicted.outputs["last"].tolist() == [150_000]
        await until(lambda: states(core) == {1: END, 2: AVAILABLE})

    def on_state(model, version, state):
        if (version, state) == (1, "END"):
            happened.append("unloaded")

    with_core(options_of(config_of(m=tmp_path)), use, on_state=on_state)
    assert happened == ["answered", "unloaded"]


def broken_folder(base, version):
    (base / str(version)).mkdir(parents=True)
    return base / str(version)


def test_a_broken_version_is_reported_and_replaces_nothing(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        broken_folder(tmp_path, 2)
        await until(lambda: states(core).get(2) == END)
        assert states(core)[1] == AVAILABLE
        assert await bias(core) == 1
        assert status(core, 2).status.error_code == Code.NOT_FOUND.number
        assert status(core, 2).status.error_message.startswith("Could not find SavedModel .pb or .pbtxt at supplied")
        with pytest.raises(StatusError, match=r"Servable not found for request: Specific\(m, 2\)"):
            await bias(core, version=2)
        shutil.rmtree(tmp_path / "2")
        await asyncio.sleep(0.2)
        publish(saved_models[2], tmp_path, 2)
        await until(lambda: states(core) == {1: END, 2: AVAILABLE})

    with_core(options_of(config_of(m=tmp_path)), use)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"no proto at all", Code.DATA_LOSS, "Can't parse "),
        (b"", Code.NOT_FOUND, "Could not find meta graph def matching supplied tags: { serve }"),
    ],
)
def test_an_invalid_saved_model_gets_tensorflows_message(tmp_path, content, code, message):
    (broken_folder(tmp_path, 1) / "saved_model.pb").write_bytes(content)

    async def use(core):
        assert not core.ready()
        assert status(core, 1).state == END
        assert status(core, 1).status.error_code == code.number
        assert status(core, 1).status.error_message.startswith(message)

    with_core(options_of(config_of(m=tmp_path)), use)


def test_loading_is_retried(saved_models, tmp_path):
    broken_folder(tmp_path, 1)

    async def use(core):
        assert states(core) == {1: LOADING}
        shutil.copytree(saved_models[1], tmp_path / "1", dirs_exist_ok=True)
        await until(lambda: states(core) == {1: AVAILABLE})

    options = options_of(config_of(m=tmp_path), max_num_load_retries=50, load_retry_interval_micros=100_000)
    with_core(options, use)


def test_stopping_does_not_wait_for_a_retry(tmp_path):
    broken_folder(tmp_path, 1)

    async def use(core):
        assert states(core) == {1: LOADING}

    with_core(options_of(config_of(m=tmp_path), max_num_load_retries=5), use)


def test_a_base_path_may_appear_later(saved_models, tmp_path):
    async def use(core):
        assert not core.ready()
        with pytest.raises(StatusError, match="Could not find any versions of model m"):
            states(core)
        publish(saved_models[2], tmp_path / "later", 5)
        await until(core.ready)
        assert await bias(core) == 2

    with_core(options_of(config_of(m=tmp_path / "later")), use)
