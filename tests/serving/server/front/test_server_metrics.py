from serving.server.front.server_metrics import MAX_CELLS, OTHER_MODELS, REQUEST_COUNT, VERSION_STATE, Metrics


def two():
    first, second = Metrics(), Metrics()
    first.count_request("m", "Predict", "GRPC", "OK", 15)
    first.count_request("m", "Predict", "GRPC", "NOT_FOUND", 0)
    second.count_request("m", "Predict", "GRPC", "OK", 1e12)
    first.set_gauges(VERSION_STATE, {("m", "1"): 30})
    second.set_gauges(VERSION_STATE, {("m", "1"): 20})
    return first, second


def test_the_page_has_tf_servings_names():
    page = two()[0].page().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in page
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page
    assert ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1' in page
    assert "# TYPE :tensorflow:serving:request_latency histogram" in page
    labels = 'model_name="m",API="Predict",entrypoint="GRPC"'
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="10"}} 0' in page
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="18"}} 1' in page
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 1' in page
    assert f":tensorflow:serving:request_latency_sum{{{labels}}} 15" in page
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 1" in page
    assert ':transom:serving:version_state{model_name="m",version="1"} 30' in page


def test_processes_are_merged():
    page = Metrics.merged([one.dump() for one in two()]).page().splitlines()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2' in page
    labels = 'model_name="m",API="Predict",entrypoint="GRPC"'
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="18"}} 1' in page
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 2" in page
    assert ':transom:serving:version_state{model_name="m",version="1"} 30' in page


def test_names_are_escaped_and_cannot_fill_the_memory():
    metrics = Metrics()
    metrics.count(REQUEST_COUNT, ('a"\\\n', "OK"))
    assert r'{model_name="a\"\\\n",status="OK"} 1' in metrics.page()
    for number in range(MAX_CELLS + 100):
        metrics.count_request(f"m{number}", "Predict", "REST", "OK", 1)
    assert len(metrics.page().splitlines()) < 40 * (MAX_CELLS + 10)
    assert f'{{model_name="{OTHER_MODELS}",status="OK"}}' in metrics.page()


def test_only_configured_models_are_counted_by_name():
    metrics = Metrics()
    metrics.set_models(["m", "n" * 10_000])
    for name in ("m", "made up", "also made up", "n" * 10_000, ""):
        metrics.count_request(name, "Predict", "REST", "NOT_FOUND", 1)
    counted = [line for line in metrics.page().splitlines() if line.startswith(":tensorflow:serving:request_count{")]
    assert counted == [
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        f':tensorflow:serving:request_count{{model_name="{OTHER_MODELS}",status="NOT_FOUND"}} 3',
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1',
    ]


def test_removed_models_do_not_take_the_cells_of_current_ones():
    metrics = Metrics()
    for number in range(3 * MAX_CELLS):
        metrics.set_models(["m", f"m{number}"])
        metrics.count_request(f"m{number}", "Predict", "REST", "OK", 1)
        metrics.count_request("m", "Predict", "REST", "OK", 1)
    page = metrics.page()
    assert f':request_count{{model_name="m",status="OK"}} {3 * MAX_CELLS}' in page
    counts = [int(line.split()[-1]) for line in page.splitlines() if ":request_count{" in line]
    assert sum(counts) == 6 * MAX_CELLS
    assert f'request_latency_count{{model_name="m",API="Predict",entrypoint="REST"}} {3 * MAX_CELLS}' in page
