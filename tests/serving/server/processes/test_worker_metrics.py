from serving.server.front.server_metrics import Metrics
from serving.server.processes.worker_metrics import PAGE_SECONDS, WorkerMetrics


def dump(count):
    metrics = Metrics()
    for _ in range(count):
        metrics.count_request("m", "Predict", "GRPC", "OK", 1)
    metrics.set_gauges("/transom/serving/version_state", {("m", "1"): 30})
    return metrics.dump()


def test_the_page_has_the_last_metrics_of_silent_and_dead_workers():
    requests, pages = [], []
    metrics = WorkerMetrics(lambda worker, kind, number, content=b"": requests.append((worker, number)))
    for worker, count in (("a", 1), ("b", 10), ("c", 100)):
        metrics.record(worker, 0, dump(count))
    metrics.worker_died("c")
    metrics.collect(["a", "b"], pages.append, 0.0)
    (_, number), _ = requests
    metrics.record("a", number, dump(2))
    metrics.expire(PAGE_SECONDS / 2)
    assert not pages
    metrics.expire(metrics.next_expiry())
    assert 'request_count{model_name="m",status="OK"} 112' in Metrics.merged(pages).page()
    for worker in ("a", "b"):
        metrics.worker_died(worker)
    metrics.collect(["d"], pages.append, 0.0)
    metrics.worker_died("d")
    assert 'request_count{model_name="m",status="OK"} 112' in Metrics.merged(pages[1:]).page()
    assert "version_state{" not in Metrics.merged(pages[1:]).page()  # no worker serves it anymore
