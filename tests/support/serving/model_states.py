"""What a model service serves: the states of versions, and the bias of the version that responded."""

from tiny_servers import (
    floats,
    spec,
)

from serving.wire.protos import GetModelStatusRequest


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
