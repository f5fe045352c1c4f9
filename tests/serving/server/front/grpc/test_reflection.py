import pytest
from fronts import with_fronts

from serving.server.front.grpc import health, reflection
from serving.wire import protos


@pytest.mark.parametrize("package", reflection.PACKAGES)
def test_reflection_lists_the_services_and_their_messages(package):
    request_class, response_class = reflection.messages(package)

    async def test(fronts):
        call = fronts.channel.stream_stream(
            f"/{package}.ServerReflection/ServerReflectionInfo",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        requests = [
            request_class(list_services=""),
            request_class(file_containing_symbol="tensorflow.serving.PredictionService"),
            request_class(file_containing_symbol=health.SERVICE),
            request_class(file_by_filename="no.proto"),
            request_class(all_extension_numbers_of_type="x"),
        ]
        return [response async for response in call(iter(requests), timeout=20)]

    listed, files, healths, missing, extensions = with_fronts(
        test, enable_grpc_reflection=True, enable_grpc_healthcheck_service=True
    )
    names = [one.name for one in listed.list_services_response.service]
    assert {protos.PREDICTION_SERVICE, protos.MODEL_SERVICE, health.SERVICE, f"{package}.ServerReflection"} <= set(
        names
    )
    assert len(files.file_descriptor_response.file_descriptor_proto) > 5
    assert len(healths.file_descriptor_response.file_descriptor_proto) == 1
    assert missing.error_response.error_code == 5
    assert extensions.error_response.error_code == 12
