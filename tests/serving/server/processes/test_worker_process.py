import signal

import pytest

from serving.server.processes.worker_process import Worker


@pytest.mark.parametrize(("ready", "patience"), [(True, 20), (False, 600)])
def test_a_worker_hangs_if_its_sign_of_life_is_overdue(ready, patience):
    worker = Worker(0, 1, None, 0, ready=ready)
    assert [worker.count_beat() for _ in range(patience)] == [True] + [False] * (patience - 1)
    assert worker.signal_if_hanging(20) is None
    worker.count_beat()
    assert worker.signal_if_hanging(20) is signal.SIGABRT
    assert worker.signal_if_hanging(0) is None
    for _ in range(2):
        worker.count_beat()
    assert worker.signal_if_hanging(20) is signal.SIGKILL
    worker.record_reply()
    assert worker.signal_if_hanging(20) is None
    assert worker.count_beat()
