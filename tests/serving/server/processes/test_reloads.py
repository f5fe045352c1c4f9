"""The one configuration of all workers, without processes: workers are names, and their frames go to a list."""

import itertools

import pytest

from serving.errors import Code, StatusError
from serving.server.processes.control_frames import (
    FrameKind,
    decode_reload_failure,
    encode_reload_failure,
    encode_reload_response,
)
from serving.server.processes.reloads import UNKNOWN_GENERATION, ReloadCoordinator
from serving.wire import protos

OK = encode_reload_response(protos.ReloadConfigResponse())


def refusal(code=Code.INVALID_ARGUMENT):
    return encode_reload_failure(StatusError(code, f"{code.name} it is"))


def config(name):
    found = protos.ModelServerConfig()
    found.model_config_list.config.add(name=name, base_path=f"/{name}")
    return found


def request(name):
    return protos.ReloadConfigRequest(config=config(name)).SerializeToString()


class Workers:
    """Records the opened workers, the reloads sent to each (number, model), the killed workers, and the replies."""

    def __init__(self, *names):
        self.opened, self.killed, self.replies = [], [], []
        self.sent = {name: [] for name in names}
        self.reloads = ReloadCoordinator(config("first"), self.send, lambda worker, why: self.killed.append(worker))
        for name in names:
            self.reloads.worker_loaded(name, 0)

    def send(self, worker, kind, number, content=b""):
        if kind is FrameKind.OPEN:
            self.opened.append(worker)
        else:
            wanted = protos.ReloadConfigRequest.FromString(content).config.model_config_list.config[0].name
            self.sent.setdefault(worker, []).append((number, wanted))

    def ask(self, name):
        self.reloads.request_reload(request(name), lambda content: self.replies.append(decode_reload_failure(content)))

    def do(self, worker, content=OK):
        """Lets the worker finish its oldest reload. Returns the reload's model."""
        number, name = self.sent[worker].pop(0)
        self.reloads.worker_reloaded(worker, number, content)
        return name

    @property
    def in_force(self):
        return self.reloads.config.model_config_list.config[0].name


def test_a_reload_is_in_force_when_all_workers_have_it_and_the_next_one_waits():
    workers = Workers("a", "b")
    assert workers.opened == ["a", "b"]
    workers.ask("n")
    workers.ask("o")
    assert [workers.do("a"), workers.in_force, workers.replies] == ["n", "first", []]
    workers.do("b")
    assert [workers.in_force, workers.replies] == ["n", [None]]
    assert [workers.do("b"), workers.do("a"), workers.in_force] == ["o", "o", "o"]


@pytest.mark.parametrize("first", [True, False])
def test_one_refusal_rolls_a_reload_back_in_all_workers(first):
    workers = Workers("a", "b", "c")
    workers.ask("n")
    for worker in ("b", "a", "c") if first else ("a", "c", "b"):
        workers.do(worker, refusal() if worker == "b" else OK)
    assert workers.in_force == "first"
    assert workers.replies[0].code is Code.INVALID_ARGUMENT
    assert not workers.sent["b"]
    assert workers.do("a") == workers.do("c") == "first"
    assert not workers.killed


def test_a_worker_that_cannot_roll_back_is_killed():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a")
    workers.do("b", refusal())
    workers.do("a", refusal(Code.FAILED_PRECONDITION))
    assert workers.killed == ["a"]


def test_unknown_is_in_force_and_reported():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a", refusal(Code.UNKNOWN))
    workers.do("b")
    assert workers.in_force == "n"
    assert workers.replies[0].code is Code.UNKNOWN


def test_after_an_unexpected_failure_the_configuration_in_force_is_sent():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a", refusal(Code.INTERNAL))
    workers.do("b", refusal(Code.INTERNAL))
    assert workers.in_force == "first"
    assert workers.do("a") == workers.do("b") == "first"


def test_a_later_worker_starts_with_the_configuration_in_force():
    workers = Workers("a")
    workers.ask("n")
    workers.reloads.worker_loaded("b", 0)  # during the reload: the worker's configuration is still in force
    assert workers.opened == ["a", "b"]
    workers.do("a")
    assert workers.do("b") == "n"
    workers.reloads.worker_loaded("c", 0)
    workers.reloads.worker_loaded("d", UNKNOWN_GENERATION)
    assert workers.opened == ["a", "b"]
    assert workers.do("c") == "n"
    workers.ask("o")
    for worker in ("a", "b", "c"):
        assert workers.do(worker) == "o"
    assert workers.do("d") == "n"
    assert workers.opened == ["a", "b", "c", "d"]
    assert [workers.do("d"), workers.in_force] == ["o", "o"]


def test_a_reload_does_not_wait_for_a_worker_that_died():
    workers = Workers("a", "b")
    workers.ask("n")
    workers.do("a")
    workers.reloads.worker_died("b")
    assert workers.in_force == "n"
    workers.ask("o")
    workers.reloads.worker_died("a")  # it killed all of them
    assert [workers.in_force, len(workers.replies)] == ["n", 1]
    workers.ask("p")  # no worker can refuse it
    assert workers.in_force == "p"


def test_any_order_of_events_leaves_all_workers_with_the_configuration_in_force():
    for order in itertools.permutations(("a", "b", "join", "leave"), 4):
        workers = Workers("a", "b", "x")
        has = dict.fromkeys(("a", "b", "c"), "first")
        workers.ask("n")
        workers.ask("o")
        for event in order:
            if event == "join":
                workers.reloads.worker_loaded("c", 0)
            elif event == "leave":
                workers.reloads.worker_died("x")
            elif workers.sent[event]:
                has[event] = workers.do(event)
        while any(workers.sent.get(name) for name in has):
            for name in has:
                if workers.sent.get(name):
                    has[name] = workers.do(name)
        assert set(has.values()) == {workers.in_force} == {"o"}
