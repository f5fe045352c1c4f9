"""Versions come and go under a base path, under load, broken ones among them."""

import asyncio
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_servers import (
    config_of,
    example,
    floats,
    options_of,
    publish,
    spec,
    until,
    with_core,
    withdraw,
    write_warm_up,
)

from serving.errors import Code, OptionsError, StatusError
from serving.server.calls.request_tensors import encode
from serving.wire.protos import GetModelStatusRequest, PredictionLog, ReloadConfigRequest


def states(core, name="m"):
    response = core.get_model_status(GetModelStatusRequest(model_spec=spec(name)))
    return {one.version: one.state for one in response.model_version_status}


def status(core, version, name="m"):
    response = core.get_model_status(GetModelStatusRequest(model_spec=spec(name, version=version)))
    return response.model_version_status[0]


async def bias(core, **kwargs):
    predicted = await core.predict(spec(**kwargs), floats(0))
    return predicted.outputs["bias"].item()


LOADING, AVAILABLE, END = 20, 30, 50


def policy(config, **fields):
    config.model_config_list.config[0].model_version_policy.MergeFrom(
        type(config.model_config_list.config[0].model_version_policy)(**fields)
    )
    return config


@pytest.mark.parametrize(
    ("fields", "served"),
    [
        ({}, [4]),
        ({"latest": {"num_versions": 2}}, [3, 4]),
        ({"all": {}}, [1, 3, 4]),
        ({"specific": {"versions": [1, 3, 9]}}, [1, 3]),
    ],
)
def test_the_policy_says_which_versions_are_served(saved_models, tmp_path, fields, served):
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


def test_what_runs_keeps_its_version_loaded(saved_models, tmp_path):
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
def test_a_file_that_is_no_saved_model_ends_with_tensorflows_words(tmp_path, content, code, message):
    (broken_folder(tmp_path, 1) / "saved_model.pb").write_bytes(content)

    async def use(core):
        assert not core.ready()
        assert status(core, 1).state == END
        assert status(core, 1).status.error_code == code.number
        assert status(core, 1).status.error_message.startswith(message)

    with_core(options_of(config_of(m=tmp_path)), use)


def test_loading_is_tried_again(saved_models, tmp_path):
    broken_folder(tmp_path, 1)

    async def use(core):
        assert states(core) == {1: LOADING}
        shutil.copytree(saved_models[1], tmp_path / "1", dirs_exist_ok=True)
        await until(lambda: states(core) == {1: AVAILABLE})

    options = options_of(config_of(m=tmp_path), max_num_load_retries=50, load_retry_interval_micros=100_000)
    with_core(options, use)


def test_stopping_does_not_wait_for_another_try(tmp_path):
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


def request_of(config):
    return ReloadConfigRequest(config=config)


def test_a_model_that_comes_back_while_it_is_unloaded_is_served(saved_models, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    publish(saved_models[1], one, 1)
    publish(saved_models[2], two, 1)

    async def use(core):
        for _ in range(5):
            await core.reload_config(request_of(config_of(n=two)))
            await core.reload_config(request_of(config_of(m=one, n=two)))
            assert await bias(core) == 1

    with_core(options_of(config_of(m=one, n=two), file_system_poll_wait_seconds=20), use)


def test_a_new_configuration_adds_changes_and_removes_models(saved_models, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    publish(saved_models[1], one, 1)
    publish(saved_models[2], one, 2)
    publish(saved_models[2], two, 1)

    async def use(core):
        await core.reload_config(request_of(config_of(m=one, n=two)))
        assert await bias(core, name="n") == 2
        await core.reload_config(request_of(policy(config_of(m=one, n=two), specific={"versions": [1]})))
        await until(lambda: states(core) == {1: AVAILABLE, 2: END})
        await core.reload_config(request_of(config_of(n=two)))
        await until(lambda: states(core) == {1: END, 2: END})
        with pytest.raises(StatusError, match="Servable not found for request: Latest"):
            await bias(core)
        assert core.ready()
        with pytest.raises(StatusError) as failed:
            await core.reload_config(request_of(config_of(n=two, o=tmp_path / "nowhere")))
        assert failed.value.code is Code.UNKNOWN
        assert failed.value.message.startswith(
            "1 model(s) did not become available: {{{name: o} due to error: NOT_FOUND"
        )
        assert await bias(core, name="n") == 2
        assert core.ready()  # for callers of n nothing has changed

    with_core(options_of(config_of(m=one)), use)


@pytest.mark.parametrize(
    "change",
    [
        lambda config, folder: changed(config, base_path=str(folder / "nowhere")),
        lambda config, folder: changed(config, base_path=str(folder / "empty")),
        lambda config, folder: policy(config, specific={"versions": [7]}),
    ],
    ids=["nowhere", "empty", "no such version"],
)
def test_a_reload_of_a_model_to_where_no_versions_are_fails_and_ends_nothing(saved_models, tmp_path, change):
    publish(saved_models[1], tmp_path / "m", 1)
    (tmp_path / "empty").mkdir()

    async def use(core):
        config = change(config_of(m=tmp_path / "m"), tmp_path)
        for _ in range(2):  # a caller that tries again is not told that all is well
            words = r"1 model\(s\) did not become available: \{\{\{name: m\} due to error: NOT_FOUND: "
            with pytest.raises(StatusError, match=words) as failed:
                await core.reload_config(request_of(config))
            assert failed.value.code is Code.UNKNOWN
        await asyncio.sleep(0.2)  # it is looked for at every poll
        assert await bias(core) == 1
        there = Path(config.model_config_list.config[0].base_path)
        publish(saved_models[2], there, 7)
        await until(lambda: states(core) == {1: END, 7: AVAILABLE})
        assert await bias(core) == 2
        await core.reload_config(request_of(config))

    with_core(options_of(config_of(m=tmp_path / "m")), use)


def test_a_model_that_is_still_awaited_fails_no_reload_of_another(saved_models, tmp_path):
    publish(saved_models[1], tmp_path / "n", 1)
    publish(saved_models[2], tmp_path / "n", 2)

    async def use(core):
        await core.reload_config(request_of(policy(config_of(n=tmp_path / "n", m=tmp_path / "later"), all={})))
        await until(lambda: states(core, "n") == {1: AVAILABLE, 2: AVAILABLE})

    with_core(options_of(config_of(n=tmp_path / "n", m=tmp_path / "later")), use)


def test_of_many_missing_versions_a_few_are_named(saved_models, tmp_path, caplog):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        with pytest.raises(StatusError, match="4086 more versions of servable m were not found either") as failed:
            await core.reload_config(request_of(policy(config_of(m=tmp_path), specific={"versions": range(2, 4098)})))
        assert len(failed.value.message) < 4000
        assert await bias(core) == 1

    with_core(options_of(config_of(m=tmp_path)), use)
    assert len(caplog.text) < 10_000


def test_a_thousand_models_that_are_not_there_are_one_task_and_leave_nothing_behind(saved_models, tmp_path):
    publish(saved_models[1], tmp_path / "m", 1)

    async def use(core):
        for round_ in range(3):
            made_up = {f"x{round_}_{n}": tmp_path / f"x{n}" for n in range(1000)}
            with pytest.raises(StatusError, match=r"1000 model\(s\) did not become available"):
                await core.reload_config(request_of(config_of(m=tmp_path / "m", **made_up)))
            assert await bias(core) == 1
            assert len(asyncio.all_tasks()) < 20  # not one for each, all of which wake up every second
        await core.reload_config(request_of(config_of(m=tmp_path / "m")))
        with pytest.raises(StatusError, match="Could not find any versions of model x2_0"):
            states(core, "x2_0")
        assert core.ready()

    with_core(options_of(config_of(m=tmp_path / "m")), use)


def test_a_label_moves_only_to_what_is_served(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)
    publish(saved_models[2], tmp_path, 2)

    def labelled(**labels):
        config = policy(config_of(m=tmp_path), all={})
        config.model_config_list.config[0].version_labels.update(labels)
        return request_of(config)

    async def use(core):
        await core.reload_config(labelled(stable=1, canary=2))
        assert (await bias(core, label="stable"), await bias(core, label="canary")) == (1, 2)
        with pytest.raises(StatusError) as refused:
            await core.reload_config(labelled(stable=3))
        assert (refused.value.code, refused.value.message) == (
            Code.FAILED_PRECONDITION,
            "Request to assign label to version 3 of model m, which is not currently available for inference",
        )
        await core.reload_config(labelled(stable=2))
        assert await bias(core, label="stable") == 2
        with pytest.raises(StatusError, match="Unrecognized servable version label: canary"):
            await bias(core, label="canary")

    with_core(options_of(policy(config_of(m=tmp_path), all={})), use)
    with pytest.raises(OptionsError, match="which is not currently available for inference"):
        with_core(options_of(labelled(stable=1).config), use)


def changed(config, **fields):
    for name, value in fields.items():
        setattr(config.model_config_list.config[0], name, value)
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_path": "models"}, "Expected model m to have an absolute path or URI; got base_path()=models"),
        ({"model_platform": "x"}, "Model m requests unsupported platform x"),
        (
            {"model_platform": ""},
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            {"model_type": 1},
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            "model name is m",
        ),
        ({"name": "n"}, "Illegal to list model n multiple times in config list"),
    ],
)
def test_a_wrong_configuration_is_refused_and_changes_nothing(saved_models, tmp_path, change, message):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        with pytest.raises(StatusError) as refused:
            await core.reload_config(request_of(changed(config_of(m=tmp_path, n=tmp_path), **change)))
        assert (refused.value.code, refused.value.message) == (Code.INVALID_ARGUMENT, message)
        assert await bias(core) == 1

    with_core(options_of(config_of(m=tmp_path)), use)


def predict_log(x):
    log = PredictionLog()
    log.predict_log.request.model_spec.name = "m"
    log.predict_log.request.inputs["x"].CopyFrom(encode(x))
    return log


def example_log(kind, signature):
    log = PredictionLog()
    request = getattr(log, kind).request
    request.input.example_list.examples.append(example(1.0))
    if kind == "multi_inference_log":
        request.tasks.add(model_spec=spec(signature=signature), method_name="tensorflow/serving/regress")
    else:
        request.model_spec.CopyFrom(spec(signature=signature))
    return log


def test_every_kind_of_warm_up_request_runs_before_a_version_is_served(saved_models, tmp_path):
    folder = publish(saved_models[1], tmp_path / "hidden", 1)
    write_warm_up(
        folder,
        predict_log(np.float32([1])),
        example_log("classify_log", "classify"),
        example_log("regress_log", "regress"),
        example_log("multi_inference_log", "regress"),
    )
    folder.rename(tmp_path / "1")

    async def use(core):
        assert states(core) == {1: AVAILABLE}

    with_core(options_of(config_of(m=tmp_path), num_request_iterations_for_warmup=3), use)


@pytest.mark.parametrize(
    ("log", "code", "message"),
    [
        (predict_log(np.array([1])), Code.INVALID_ARGUMENT, "Expects arg[0] to be float but int64 is provided"),
        (example_log("regress_log", "x"), Code.INVALID_ARGUMENT, "No signature was found with the name: x"),
        (PredictionLog(session_run_log={}), Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 5"),
        (None, Code.DATA_LOSS, "truncated record at 0. Please verify your warmup data is in TFRecord format."),
    ],
)
def test_a_warm_up_that_fails_fails_the_version(saved_models, tmp_path, log, code, message):
    folder = publish(saved_models[1], tmp_path / "hidden", 1)
    write_warm_up(folder, *([log] if log else []))
    if log is None:
        (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records at all")
    folder.rename(tmp_path / "1")

    async def use(core):
        assert states(core) == {1: END}
        assert (status(core, 1).status.error_code, status(core, 1).status.error_message) == (code.number, message)

    with_core(options_of(config_of(m=tmp_path)), use)

    async def is_served(core):
        assert states(core) == {1: AVAILABLE}

    with_core(options_of(config_of(m=tmp_path), enable_model_warmup=False), is_served)
