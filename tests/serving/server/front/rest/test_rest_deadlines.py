"""Every kind of REST request ends at --rest_api_timeout_in_ms, with the real model service."""

import gzip
import json
import time

from fronts import with_fronts
from tiny_servers import config_of, publish

from serving.server.model_service import ModelService

BIG = [1.0] * 200_000
BODIES = {
    "predict": ("predict", {"instances": [1.0]}),
    "classify": ("classify", {"signature_name": "classify", "examples": [{"x": 1.0}]}),
    "regress": ("regress", {"signature_name": "regress", "examples": [{"x": 1.0}]}),
    "many rows": ("predict", {"instances": BIG[:900]}),
    "many examples": ("classify", {"signature_name": "classify", "examples": [{"x": 1.0}] * 900}),
    "a large body": ("predict", {"signature_name": "matrix", "instances": [BIG]}),
}


def test_every_request_ends_at_the_deadline(saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)

    async def test(fronts):
        for what, (action, body) in BODIES.items():
            content = json.dumps(body).encode()
            for sent, headers in ((content, {}), (gzip.compress(content), {"Content-Encoding": "gzip"})):
                began = time.monotonic()
                response = await fronts.http.post(f"/v1/models/m:{action}", content=sent, headers=headers)
                assert response.status_code == 504, (what, response.text)
                assert time.monotonic() - began < 4, what

    # A batch waits five seconds for more requests.
    slow = {"batch_timeout_micros": 5_000_000}
    with_fronts(test, make=ModelService, models=config_of(m=tmp_path), rest_api_timeout_in_ms=150, batching=slow)
