"""Reloads: models are added, changed and removed, and labels move."""

import asyncio
from pathlib import Path

import pytest
from tiny_servers import (
    AVAILABLE,
    END,
    bias,
    config_of,
    options_of,
    policy,
    publish,
    states,
    until,
    with_core,
)

from serving.errors import Code, OptionsError, StatusError
from serving.wire.protos import ReloadConfigRequest


def request_of(config):
    return ReloadConfigRequest(config=config)


def test_a_model_added_again_while_it_unloads_is_served(saved_models, tmp_path):
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
        assert core.ready()  # callers of n notice no change

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
def test_a_reload_to_a_path_without_versions_fails_and_unloads_nothing(saved_models, tmp_path, change):
    publish(saved_models[1], tmp_path / "m", 1)
    (tmp_path / "empty").mkdir()

    async def use(core):
        config = change(config_of(m=tmp_path / "m"), tmp_path)
        for _ in range(2):  # a retry does not report success
            words = r"1 model\(s\) did not become available: \{\{\{name: m\} due to error: NOT_FOUND: "
            with pytest.raises(StatusError, match=words) as failed:
                await core.reload_config(request_of(config))
            assert failed.value.code is Code.UNKNOWN
        await asyncio.sleep(0.2)  # every poll looks for it
        assert await bias(core) == 1
        there = Path(config.model_config_list.config[0].base_path)
        publish(saved_models[2], there, 7)
        await until(lambda: states(core) == {1: END, 7: AVAILABLE})
        assert await bias(core) == 2
        await core.reload_config(request_of(config))

    with_core(options_of(config_of(m=tmp_path / "m")), use)


def test_a_model_without_versions_does_not_fail_the_reload_of_another(saved_models, tmp_path):
    publish(saved_models[1], tmp_path / "n", 1)
    publish(saved_models[2], tmp_path / "n", 2)

    async def use(core):
        await core.reload_config(request_of(policy(config_of(n=tmp_path / "n", m=tmp_path / "later"), all={})))
        await until(lambda: states(core, "n") == {1: AVAILABLE, 2: AVAILABLE})

    with_core(options_of(config_of(n=tmp_path / "n", m=tmp_path / "later")), use)


def test_only_a_few_of_many_missing_versions_are_named(saved_models, tmp_path, caplog):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        with pytest.raises(StatusError, match="4086 more versions of servable m were not found either") as failed:
            await core.reload_config(request_of(policy(config_of(m=tmp_path), specific={"versions": range(2, 4098)})))
        assert len(failed.value.message) < 4000
        assert await bias(core) == 1

    with_core(options_of(config_of(m=tmp_path)), use)
    assert len(caplog.text) < 10_000


def test_a_thousand_missing_models_take_one_task_and_leave_nothing_behind(saved_models, tmp_path):
    publish(saved_models[1], tmp_path / "m", 1)

    async def use(core):
        for round_ in range(3):
            made_up = {f"x{round_}_{n}": tmp_path / f"x{n}" for n in range(1000)}
            with pytest.raises(StatusError, match=r"1000 model\(s\) did not become available"):
                await core.reload_config(request_of(config_of(m=tmp_path / "m", **made_up)))
            assert await bias(core) == 1
            assert len(asyncio.all_tasks()) < 20  # instead of one each, all of which would wake up every second
        await core.reload_config(request_of(config_of(m=tmp_path / "m")))
        with pytest.raises(StatusError, match="Could not find any versions of model x2_0"):
            states(core, "x2_0")
        assert core.ready()

    with_core(options_of(config_of(m=tmp_path / "m")), use)


def test_a_label_moves_only_to_a_served_version(saved_models, tmp_path):
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
