import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import Code, StatusError
from serving.server.front.rest.rest_routes import GET_ACTIONS, POST_ACTIONS, parse_route


@pytest.mark.parametrize(
    ("method", "path", "action", "spec"),
    [
        ("POST", "/v1/models/m:predict", "predict", ("m", 0, "")),
        ("POST", "/v1/models/m/versions/5:classify", "classify", ("m", 5, "")),
        ("POST", "/v1/models/m/labels/stable:regress", "regress", ("m", 0, "stable")),
        ("POST", "/V1/Models/m:predict", "predict", ("m", 0, "")),
        ("GET", "/v1/models/m", "status", ("m", 0, "")),
        ("GET", "/v1/models/m/versions/99", "status", ("m", 99, "")),
        ("GET", "/v1/models/m/labels/latest/metadata", "metadata", ("m", 0, "latest")),
        ("GET", "/v1/models/m%21%2F%3A%3F%5B/labels/l%2F%25", "status", ("m!/:?[", 0, "l/%")),
        ("GET", "/v1/models/%ff", "status", ("\ufffd", 0, "")),
        ("GET", "/v1/models/..", "status", ("..", 0, "")),
        ("GET", f"/v1/models/m/versions/{'0' * 5000}7", "status", ("m", 7, "")),
    ],
)
def test_a_path_names_model_version_label_and_action(method, path, action, spec):
    route = parse_route(method, path)
    assert route.action == action
    assert (route.model_spec.name, route.model_spec.version.value, route.model_spec.version_label) == spec


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/v1/models/m:unknown", None),
        ("POST", "/v1/models/m:PREDICT", None),
        ("POST", "/v1/models/m", None),
        ("POST", "/v1/models/:predict", None),
        ("POST", "/v1/models/m/version/50:predict", None),
        ("POST", "/v1/models/m/versions/x:predict", None),
        ("POST", "/v1/models/m/versions/٣:predict", None),
        ("POST", "/v1/models/m:predict?x=1", None),
        ("POST", "/v1/models/a/b:predict", None),
        ("POST", "/v1/models/../../etc/passwd:predict", None),
        ("GET", "/v1/models/m:predict", None),
        ("GET", "/v1/models/m/metadata/x", None),
        ("GET", "/v1/foo", None),
        ("DELETE", "/v1/models/m", None),
        ("GET", "/v1/models", "Missing model name in request."),
        ("GET", f"/v1/models/m/versions/{2**63}", f"Failed to convert version: {2**63} to numeric."),
        ("GET", f"/v1/models/m/versions/{'9' * 4301}", f"Failed to convert version: {'9' * 1024}... to numeric."),
        (
            "POST",
            f"/v1/models/m/versions/{'9' * 9000}:predict",
            f"Failed to convert version: {'9' * 1024}... to numeric.",
        ),
        ("POST", "/" + "a" * 9000, f"Malformed request: POST /{'a' * 1023}..."),
    ],
)
def test_any_other_path_is_malformed(method, path, message):
    with pytest.raises(StatusError) as caught:
        parse_route(method, path)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == (message or f"Malformed request: {method} {path}")


@given(st.sampled_from(["GET", "POST", "PUT"]), st.text(max_size=30), st.sampled_from(["", "/v1/models/", "/v1/"]))
def test_any_path_is_a_route_or_a_status(method, path, start):
    try:
        route = parse_route(method, start + path)
    except StatusError as refused:
        refused.message.encode()
    else:
        assert route.action in POST_ACTIONS + GET_ACTIONS
