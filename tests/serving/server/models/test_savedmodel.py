"""SavedModels in a session: the fast way to run them, deadlines, threads, and missing operations."""

import dataclasses
import importlib.util
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tiny_servers import config_of, options_of

from serving.errors import Code, StatusError
from serving.server.models.savedmodel import SavedModel, direct_run, session_config, session_run
from serving.wire.protos import ConfigProto

OPTIONS = options_of(config_of())


@pytest.fixture(scope="module")
def model(saved_models):
    model = SavedModel(saved_models[1], OPTIONS)
    yield model
    model.close()


def feeds_of(model, signature, **arrays):
    found = model.signatures[signature]
    feeds = {found.inputs[alias].tensor: array for alias, array in arrays.items()}
    return feeds, [endpoint.tensor for endpoint in found.outputs.values()]


def test_tensorflows_private_binding_is_as_expected(model):
    assert direct_run(model._session) is not None, "runs fall back to Session.run, several times slower: see direct_run"


@pytest.mark.parametrize("milliseconds", [0, 60_000])
@pytest.mark.parametrize(
    ("signature", "arrays"),
    [
        ("serving_default", {"x": np.float32([1, 2])}),
        ("matrix", {"x": np.ones((2, 3), np.float32)}),
        ("two", {"text": np.array([b"a\x00b", b""], object), "n": np.array([1, 2])}),
        ("scalar", {"x": np.float32([1, 2])}),
    ],
)
def test_the_binding_and_the_public_interface_give_the_same(model, signature, arrays, milliseconds):
    feeds, fetches = feeds_of(model, signature, **arrays)
    fast = direct_run(model._session)(feeds, fetches, milliseconds)
    public = session_run(model._session)(feeds, fetches, milliseconds)
    for left, right in zip(fast, public, strict=True):
        assert (left.dtype, left.shape, left.tolist()) == (right.dtype, right.shape, right.tolist())


def test_a_run_ends_at_its_deadline(model):
    feeds, fetches = feeds_of(model, "slow", n=np.array([2**31 - 1], np.int32))
    started = time.monotonic()
    with pytest.raises(StatusError) as late:
        model.run(feeds, fetches, 0.2)
    assert late.value.code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5


def test_a_long_large_run_leaves_threads_for_small_ones(saved_models):
    model = SavedModel(saved_models[0], dataclasses.replace(OPTIONS, workers=2))
    endless = feeds_of(model, "slow", n=np.full(100, 2**31 - 1, np.int32))

    def go_on():
        with pytest.raises(StatusError, match="Timed out"):
            model.run(*endless, 3.0)

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert model.run(*feeds_of(model, "slow", n=np.int32([3])), 2.0)[0].tolist() == [3]
    assert all(thread.is_alive() for thread in threads) or time.monotonic() - started > 2.5
    for thread in threads:
        thread.join()
    model.close()


def test_a_signature_without_outputs_cannot_be_fetched(model):
    with pytest.raises(StatusError, match="Tried to fetch data for 'NoOp:0', which produces no output"):
        model.run(*feeds_of(model, "__saved_model_init_op"), None)


def test_one_of_several_workers_runs_in_one_thread_by_default():
    def threads(**fields):
        config = session_config(dataclasses.replace(OPTIONS, **fields))
        return config.intra_op_parallelism_threads, config.inter_op_parallelism_threads

    assert threads() == (0, 0)
    assert threads(workers=2) == (1, 1)
    assert threads(workers=2, intra_op_parallelism=3) == (3, 1)
    assert threads(workers=2, session_config=ConfigProto(intra_op_parallelism_threads=4)) == (4, 1)


def write_model_of_one_operation(folder, operation):
    """Reads the graph from disk, so that the operation need not be registered here."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    text = meta.graph_def.node.add(name="text", op="Placeholder")
    text.attr["dtype"].type = 7
    text.attr["shape"].shape.dim.add(size=-1)
    meta.graph_def.node.add(name="folded", op=operation, input=["text"])
    meta.graph_def.versions.producer = 1882
    signature = meta.signature_def["serving_default"]
    signature.inputs["text"].name, signature.inputs["text"].dtype = "text:0", 7
    signature.outputs["folded"].name, signature.outputs["folded"].dtype = "folded:0", 7
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return str(folder)


LOAD_IT = """
import sys
from pathlib import Path
import numpy as np
from serving.errors import StatusError
from serving.server.options import ServerOptions
from serving.server.models.savedmodel import SavedModel
options = ServerOptions(models=None)
model = SavedModel(Path(sys.argv[1]), options)
print(model.run({"text:0": np.array([b"ABC"], object)}, ["folded:0"], None)[0].tolist())
try:
    SavedModel(Path(sys.argv[2]), options)
except StatusError as error:
    print(error.code.name, error.message)
print([name for name in ("tensorflow_text", "keras_hub") if name in sys.modules])
"""


@pytest.mark.slow
def test_text_operations_are_registered_and_a_missing_one_is_named(tmp_path, repository):
    if importlib.util.find_spec("tensorflow_text") is None:
        pytest.skip("tensorflow_text is not installed")
    folders = [write_model_of_one_operation(tmp_path / name, name) for name in ("CaseFoldUTF8", "NoSuchOperation")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_IT, *folders], cwd=repository, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    folded, missing, imported = done.stdout.splitlines()[-3:]
    assert folded == "[b'abc']"
    assert missing.startswith("NOT_FOUND Op type not registered 'NoSuchOperation' in binary running on")
    assert imported == "[]"


def test_only_graphs_without_loops_run_unguarded_with_ample_time(saved_models):
    model = SavedModel(saved_models[1], dataclasses.replace(OPTIONS, max_run_seconds=7))
    run, given = model._run, []
    model._run = lambda feeds, fetches, milliseconds, pool: (
        given.append((milliseconds, pool)) or run(feeds, fetches, 60_000, pool)
    )
    for signature, arrays, expected in (
        ("serving_default", {"x": np.float32([1])}, [(5000, 0), (0, 0), (1, 0), (0, 0)]),
        ("slow", {"n": np.int32([3])}, [(5000, 2), (5000, 2), (1, 2), (7000, 2)]),
        ("slow", {"n": np.full(100, 3, np.int32)}, [(5000, 3), (5000, 3), (1, 3), (7000, 3)]),
    ):
        given.clear()
        for longest, timeout in ((0.0, 5.0), (0.01, 5.0), (0.01, 0.001), (0.01, None)):
            model._longest = [longest, longest]
            model.run(*feeds_of(model, signature, **arrays), timeout)
        assert given == expected
    model.close()
