"""`transom predict URL`: predictions of a served model, over gRPC or REST. No TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from models.errors import ConfigError, ModelError
from serving.client import Client, ClientError, InvalidRequest, ModelNotFound, Prediction, Unavailable
from serving.errors import OptionsError

Predict = Callable[[Sequence[str], Sequence[str] | None], list[Prediction]]

_FIXES = {
    Unavailable: "start the server, or correct the address; 8500 is TF Serving's gRPC port, 8501 its REST port",
    ModelNotFound: "name the served model in the URL's path or with --model",
    InvalidRequest: "give a --pair for each text to a model for pairs, and none to any other model",
}


@contextlib.contextmanager
def open_served_model(url: str, model: str | None) -> Iterator[Predict]:
    """The prediction function of a served model; see `serving.client.Client.predict`.

    Raises:
        ConfigError: the URL is not valid, or names no model.
        ModelError: the server cannot be reached, or refused the request.
    """
    try:
        with Client(url, model) as client:
            yield client.predict
    except OptionsError as error:
        fix = "end the URL with /NAME, or give --model NAME" if error.got == "no model" else error.fix
        raise ConfigError(error.what, got=error.got, expected=error.expected, fix=fix) from None
    except ClientError as error:
        fix = next((text for kind, text in _FIXES.items() if isinstance(error, kind)), "")
        raise ModelError(f"the model at {url}", got=str(error), expected="a prediction", fix=fix) from error
