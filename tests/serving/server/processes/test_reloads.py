"""The one configuration of all workers, without processes: workers are names, and what they are sent is a list."""

import itertools
import signal

import pytest

from serving.errors import Code, StatusError
from serving.server.front.server_metrics import Metrics
from serving.server.processes.frames import MAX_BYTES, BadFrameError, Kind, failed, failure, frame, frames, reloaded
from serving.server.processes.reloads import UNKNOWN_GENERATION, Reloads
from serving.server.processes.supervised_worker import Worker
from serving.server.processes.worker_metrics import PAGE_SECONDS, Heard
from serving.wire import protos

OK = reloaded(protos.ReloadConfigResponse())


def refusal(code=Code.INVALID_ARGUMENT):
    return failed(StatusError(code, f"{code.name} it is"))


def config(name):
    found = protos.ModelServerConfig()
    found.model_config_list.config.add(name=name, base_path=f"/{name}")
    return found


def request(name):
    return protos.ReloadConfigRequest(config=config(name)).SerializeToString()


class Workers:
    """Opened ones, reloads on their way to each (number, model), those given up, and answers."""

    def __init__(self, *names):
        self.opened, self.given_up, self.answers = [], [], []
        self.sent = {name: [] for name in names}
        self.reloads = Reloads(config("first"), self.send, lambda worker, why: self.given_up.append(worker))
        for name in names:
            self.reloads.join(name, 0)

    def send(self, worker, kind, number, content=b""):
        if kind is Kind.OPEN:
            self.opened.append(worker)
        else:
            wanted = protos.ReloadConfigRequest.FromString(content).config.model_config_list.config[0].name
            self.sent.setdefault(worker, []).append((number, wanted))

    def ask(self, name):
        self.reloads.ask(request(name), lambda content: self.answers.append(failure(content)))

    def do(self, worker, content=OK):
        """The worker does the oldest reload that it was told; returns its model."""
        number, name = self.sent[worker].pop(0)
        self.reloads.done(worker, number, content)
        return name

    @property
    def in_force(self):
        return self.reloads.config.model_config_list.config[0].name


def test_a_reload_is_in_force_when_all_have_taken_it_and_the_next_one_waits():
    workers = Workers("a", "b")
    assert workers.opened == ["a", "b"]
    workers.ask("n")
    workers.ask("o")
    assert [workers.do("a"), workers.in_force, workers.answers] == ["n", "first", []]
    workers.do("b")
    assert [workers.in_force, workers.answers] == ["n", [None]]
    assert [workers.do("b"), workers.do("a"), workers.in_force] == ["o", "o", "o"]


@pytest.mark.parametrize("first", [True, False])
def test_one_refusal_takes_a_reload_back_where_it_was_taken(first):
    workers = Workers("a", "b", "c")
    workers.ask("n")
    for worker in ("b", "a", "c") if first else ("a", "c", "b"):
        workers.do(worker, refusal() if worker == "b" else OK)
    assert workers.in_force == "first"
    assert workers.answers[0].code is Code.INVALID_ARGUMENT
    assert not workers.sent["b"]
    assert workers.do("a") == workers.do("c") == "first"
    assert not workers.given_up


def test_who_cannot_go_back_is_given_up():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a")
    workers.do("b", refusal())
    workers.do("a", refusal(Code.FAILED_PRECONDITION))
    assert workers.given_up == ["a"]


def test_unknown_is_in_force_and_told():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a", refusal(Code.UNKNOWN))
    workers.do("b")
    assert workers.in_force == "n"
    assert workers.answers[0].code is Code.UNKNOWN


def test_a_failure_that_nobody_foresaw_is_followed_by_what_is_in_force():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a", refusal(Code.INTERNAL))
    workers.do("b", refusal(Code.INTERNAL))
    assert workers.in_force == "first"
    assert workers.do("a") == workers.do("b") == "first"


def test_who_comes_later_opens_with_what_is_in_force():
    workers = Workers("a")
    workers.ask("n")
    workers.reloads.join("b", 0)  # amid the reload: what it has is still in force
    assert workers.opened == ["a", "b"]
    workers.do("a")
    assert workers.do("b") == "n"
    workers.reloads.join("c", 0)
    workers.reloads.join("d", UNKNOWN_GENERATION)
    assert workers.opened == ["a", "b"]
    assert workers.do("c") == "n"
    workers.ask("o")
    for worker in ("a", "b", "c"):
        assert workers.do(worker) == "o"
    assert workers.do("d") == "n"
    assert workers.opened == ["a", "b", "c", "d"]
    assert [workers.do("d"), workers.in_force] == ["o", "o"]


def test_who_dies_amid_a_reload_is_not_waited_for():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a")
    workers.reloads.leave("b")
    assert workers.in_force == "n"
    workers.ask("o")
    workers.reloads.leave("a")  # all have died of it
    assert [workers.in_force, len(workers.answers)] == ["n", 1]
    workers.ask("p")  # nobody can refuse it
    assert workers.in_force == "p"


def test_any_order_of_events_leaves_all_with_what_is_in_force():
    for order in itertools.permutations(("a", "b", "join", "leave"), 4):
        workers = Workers("a", "b", "x")
        has = dict.fromkeys(("a", "b", "c"), "first")
        workers.ask("n")
        workers.ask("o")
        for event in order:
            if event == "join":
                workers.reloads.join("c", 0)
            elif event == "leave":
                workers.reloads.leave("x")
            elif workers.sent[event]:
                has[event] = workers.do(event)
        while any(workers.sent.get(name) for name in has):
            for name in has:
                if workers.sent.get(name):
                    has[name] = workers.do(name)
        assert set(has.values()) == {workers.in_force} == {"o"}


@pytest.mark.parametrize(("ready", "patience"), [(True, 20), (False, 600)])
def test_a_worker_hangs_when_it_owes_a_sign_of_life_for_long(ready, patience):
    worker = Worker(0, 1, None, 0, ready=ready)
    assert [worker.beat() for _ in range(patience)] == [True] + [False] * (patience - 1)
    assert worker.verdict(20) is None
    worker.beat()
    assert worker.verdict(20) is signal.SIGABRT
    assert worker.verdict(0) is None
    for _ in range(2):
        worker.beat()
    assert worker.verdict(20) is signal.SIGKILL
    worker.lives()
    assert worker.verdict(20) is None
    assert worker.beat()


def test_frames_are_bounded():
    buffer = bytearray(frame(Kind.ANSWER, 7, b"abc") + frame(Kind.READY, 0)[:-1])
    assert frames(buffer) == [(Kind.ANSWER, 7, b"abc")]
    assert len(buffer) == 12
    for wrong in (bytes([255] * 13), frame(Kind.ANSWER, 1)[:4] + b"\x63" + bytes(8)):
        with pytest.raises(BadFrameError, match=str(MAX_BYTES)):
            frames(bytearray(wrong))


def dump(count):
    metrics = Metrics()
    for _ in range(count):
        metrics.request("m", "Predict", "GRPC", "OK", 1)
    metrics.set_gauges("/transom/serving/version_state", {("m", "1"): 30})
    return metrics.dump()


def test_a_page_takes_what_was_heard_before_of_who_is_silent_or_dead():
    asked, pages = [], []
    heard = Heard(lambda worker, kind, number, content=b"": asked.append((worker, number)))
    for worker, count in (("a", 1), ("b", 10), ("c", 100)):
        heard.heard(worker, 0, dump(count))
    heard.leave("c")
    heard.ask(["a", "b"], pages.append, 0.0)
    (_, number), _ = asked
    heard.heard("a", number, dump(2))
    heard.expire(PAGE_SECONDS / 2)
    assert not pages
    heard.expire(heard.due())
    assert 'request_count{model_name="m",status="OK"} 112' in Metrics.merged(pages).page()
    for worker in ("a", "b"):
        heard.leave(worker)
    heard.ask(["d"], pages.append, 0.0)
    heard.leave("d")
    assert 'request_count{model_name="m",status="OK"} 112' in Metrics.merged(pages[1:]).page()
    assert "version_state{" not in Metrics.merged(pages[1:]).page()  # nobody serves it any more
