"""Large requests are handled in threads, within a budget that is released, and abandoned with their callers."""

import asyncio
import threading
import time

import numpy as np
import protobuf_messages
import pytest
from fronts import with_fronts
from tiny_servers import until

from serving.errors import Code, StatusError
from serving.server.calls import request_tensors
from serving.server.calls.request_context import MAX_INLINE_BYTES
from serving.server.calls.request_limits import Budget, Reservation
from serving.server.calls.worker_threads import INLINE_BYTES, Abandoned, WorkerThreads
from serving.server.front.rest import rest_methods
from serving.server.run import process_memory
from serving.wire import dtypes, protos

LARGE = 2 * INLINE_BYTES


def run(use, **budget):
    """Runs `use(work, budget)`, bounded in time."""

    async def bounded():
        async with asyncio.timeout(30):
            return await use(WorkerThreads(), Budget(**({"max_bytes": 1000, "max_rows": 1000} | budget)))

    return asyncio.run(bounded())


def test_a_budget_is_reserved_up_to_its_limit_and_released_once():
    budget = Budget(1000, 1000)
    first, second = Reservation(budget), Reservation(budget)
    first.take(600, 3)
    with pytest.raises(
        StatusError, match=r"hold 600 bytes; 500 more would exceed 1000 .--max_pending_bytes"
    ) as refused:
        second.take(500)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    with pytest.raises(StatusError, match="--max_pending_rows"):
        second.take(0, 998)
    assert (budget.bytes, budget.rows) == (600, 3)
    first.release()
    first.release()
    assert (budget.bytes, budget.rows) == (0, 0)


def test_large_requests_leave_some_of_the_budget_to_small_ones():
    budget = Budget(2**23, 800)
    large, small = Reservation(budget), Reservation(budget)
    with pytest.raises(StatusError, match="--max_pending_bytes"):
        large.take(2**23 - 2**19)
    with pytest.raises(StatusError, match="--max_pending_rows"):
        large.take(0, 701)
    large.take(2**23 - 2**20, 700)
    small.take(1000, 60)


def test_work_is_done_in_a_thread_and_its_error_reaches_the_caller():
    async def use(work, budget):
        def double(value, check):
            check()
            return 2 * value, threading.current_thread() is threading.main_thread()

        assert await work.run(Reservation(budget), 1, None, double, 4) == (8, False)
        with pytest.raises(TypeError):
            await work.run(Reservation(budget), 1, None, double, None)
        assert await work.run(Reservation(budget), 2**30, None, double, 5) == (10, False)

    run(use)


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_a_caller_that_gives_up_leaves_at_once_and_its_thread_then_releases_the_budget(how):
    async def use(work, budget):
        held, begun, ended = Reservation(budget), threading.Event(), []
        held.take(10)

        def endless(check):
            begun.set()
            try:
                while True:
                    time.sleep(0.01)
                    check()
            except Abandoned:
                time.sleep(0.2)
                ended.append(budget.bytes)
                raise

        deadline = asyncio.get_running_loop().time() + 0.3 if how == "late" else None
        task = asyncio.create_task(work.run(held, 1, deadline, endless))
        await until(begun.is_set)
        if how == "cancelled":
            task.cancel()
        with pytest.raises(StatusError if how == "late" else asyncio.CancelledError):
            await task
        held.release()
        assert budget.bytes == 10
        await until(lambda: not budget.bytes)
        assert ended == [10]

    run(use)


def test_abandoned_work_is_not_started_and_other_work_is():
    async def use(work, budget):
        go, done = threading.Event(), []

        def wait(check):
            go.wait(20)

        first = asyncio.create_task(work.run(Reservation(budget), 1, None, wait))
        others = [
            asyncio.create_task(work.run(Reservation(budget), 1, None, lambda check, n=n: done.append(n)))
            for n in range(3)
        ]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, *others, return_exceptions=True)
        assert done == [0, 2]

    run(use)


def test_medium_work_does_not_wait_for_large_work():
    async def use(work, budget):
        go = threading.Event()
        large = asyncio.create_task(work.run(Reservation(budget), 2**30, None, lambda check: go.wait(20)))
        assert await work.run(Reservation(budget), LARGE, None, lambda check: "done") == "done"
        go.set()
        await large

    run(use)


def predict_request(name, array):
    request = protos.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = "text" if name == "text" else ""
    request.inputs[name].CopyFrom(protobuf_messages.encode(array))
    return request


def test_a_large_request_gets_the_same_response_and_everything_is_released():
    async def test(fronts):
        sent = np.arange(LARGE, dtype=np.float32)
        answer = await fronts.call("Predict", predict_request("x", sent))
        np.testing.assert_array_equal(protobuf_messages.decode(answer.outputs["y"]), 2 * sent)
        texts = np.array([b"%d" % n for n in range(12_000)], object)
        answer = await fronts.call("Predict", predict_request("text", texts))
        assert protobuf_messages.decode(answer.outputs["label"]).tolist() == texts.tolist()
        rows = {"instances": list(range(40_000))}
        answer = await fronts.http.post("/v1/models/m:predict", json=rows)
        assert answer.json() == {"predictions": [2.0 * n for n in rows["instances"]]}
        await until(lambda: not fronts.frontend.budget.bytes and not fronts.frontend.budget.rows)

    with_fronts(test)


def test_requests_over_the_budget_are_refused_and_others_served():
    async def test(fronts):
        large = predict_request("x", np.ones(LARGE, np.float32))
        code, message = await fronts.call("Predict", large)
        assert code == "RESOURCE_EXHAUSTED"
        assert "--max_pending_bytes" in message
        answer = await fronts.http.post("/v1/models/m:predict", json={"instances": [1.0] * 40_000})
        assert answer.status_code == 429
        assert "--max_pending_bytes" in answer.json()["error"]
        small = await fronts.call("Predict", predict_request("x", np.ones(3, np.float32)))
        assert protobuf_messages.decode(small.outputs["y"]).tolist() == [2, 2, 2]
        await until(lambda: not fronts.frontend.budget.bytes)

    with_fronts(test, max_pending_bytes=2**18)


def test_a_small_request_that_expands_much_is_handled_in_a_thread(monkeypatch):
    threads = []
    decode = request_tensors.decode_inputs

    def seen(*arguments):
        threads.append(threading.current_thread() is threading.main_thread())
        return decode(*arguments)

    monkeypatch.setattr("serving.server.front.grpc.grpc_methods.decode_inputs", seen)

    async def test(fronts):
        request = predict_request("x", np.ones(1, np.float32))
        assert (await fronts.call("Predict", request)).outputs["y"].dtype == dtypes.FLOAT
        request.inputs["x"].tensor_shape.dim[0].size = MAX_INLINE_BYTES // 2
        answer = await fronts.call("Predict", request)
        assert protobuf_messages.decode(answer.outputs["y"]).shape == (MAX_INLINE_BYTES // 2,)

    with_fronts(test)
    assert threads == [True, True, False]


def test_a_budget_held_by_the_transport_is_used_and_left_to_it():
    async def test(fronts):
        held = fronts.frontend.new_reservation()
        held.take(5)

        async def read():
            return b'{"instances": [1.0]}'

        answer = await rest_methods.respond(fronts.frontend, "POST", "/v1/models/m:predict", read, held=held)
        assert answer[0] == 200
        assert held.bytes >= 5
        held.release()
        assert not fronts.frontend.budget.bytes

    with_fronts(test)


def test_without_a_new_thread_the_request_is_refused_and_the_next_one_may_succeed(monkeypatch):
    async def use(work, budget):
        held, start = Reservation(budget), threading.Thread.start

        def fail(thread):
            raise RuntimeError("can't start new thread")

        held.take(10)
        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises(StatusError, match="can't start new thread") as refused:
            await work.run(held, LARGE, None, lambda check: 1)
        assert refused.value.code is Code.RESOURCE_EXHAUSTED
        held.release()
        assert budget.bytes == 0
        monkeypatch.setattr(threading.Thread, "start", start)
        assert await work.run(Reservation(budget), LARGE, None, lambda check: 2) == 2

    run(use)


def test_memory_is_released_and_trimmed_later_without_a_new_thread(monkeypatch):
    trimmed = threading.Event()
    monkeypatch.setattr(process_memory, "trim", trimmed.set)
    monkeypatch.setattr(process_memory, "_TRIM_AFTER_SECONDS", 0.01)
    budget, start = Budget(2**30, 1, process_memory._Trimming().soon), threading.Thread.start

    def fail(thread):
        raise RuntimeError("can't start new thread")

    for broken in (True, False):
        held = Reservation(budget)
        held.take(2**25)
        monkeypatch.setattr(threading.Thread, "start", fail if broken else start)
        held.release()
        assert budget.bytes == 0
    assert trimmed.wait(10)


def test_file_pages_of_a_container_count_as_free_memory(tmp_path, monkeypatch):
    stat = "anon 100\nfile 800\ninactive_anon 30\nactive_file 300\ninactive_file 400\n"
    for name, text in (("max", "1000"), ("current", "950"), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(process_memory, "_CGROUPS", [(tmp_path, *process_memory._CGROUPS[0][1:])])
    assert process_memory.available() == 750
    assert process_memory.available(2) == 375
    (tmp_path / "memory.max").write_text("max\n")
    assert process_memory.available() > 750
