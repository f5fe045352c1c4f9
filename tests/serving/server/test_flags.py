import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import OptionsError
from serving.server.flag_table import FLAGS
from serving.server.flags import parse, to_options, usage
from serving.server.main import main

# Every flag of tensorflow_serving/model_servers/main.cc, 2026-07.
TF_SERVING = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support
enable_batching allow_version_labels_for_unavailable_models batching_parameters_file
enable_per_model_batching_parameters model_config_file model_config_file_poll_wait_seconds model_name model_base_path
num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros file_system_poll_wait_seconds
flush_filesystem_caches tensorflow_session_parallelism tensorflow_session_config_file tensorflow_intra_op_parallelism
tensorflow_inter_op_parallelism use_alts_credentials ssl_config_file platform_config_file
per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads enable_model_warmup
num_request_iterations_for_warmup version monitoring_config_file remove_unused_fields_from_bundle_metagraph
prefer_tflite_model num_tflite_pools num_tflite_interpreters_per_pool enable_signature_method_name_check
xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file mixed_precision
skip_initialize_tpu enable_grpc_healthcheck_service enable_serialization_as_tensor_content
"""
TRANSOMS = ["host", "workers", "drain_seconds", "enable_grpc_reflection", "help", "max_concurrent_requests"]
TRANSOMS += ["max_message_bytes", "max_request_rows", "max_pending_bytes", "max_pending_rows", "max_connections"]
TRANSOMS += ["max_run_seconds", "page"]
TRANSOMS += ["max_json_depth", "max_json_values", "reload_from", "reload_roots", "worker_timeout_seconds"]
TRANSOMS += ["ssl_certificate_file", "ssl_key_file", "ssl_ca_file"]
TRANSOMS += ["api_keys_file", "security_poll_wait_seconds"]
MODEL = "--model_base_path=/m"


def options(*arguments):
    return to_options(parse([MODEL, *arguments]))


def written(folder: Path, text: str) -> str:
    file = folder / "file.txt"
    file.write_text(text)
    return str(file)


def refusal(*arguments):
    with pytest.raises(OptionsError) as caught:
        to_options(parse(arguments))
    return caught.value


def test_the_flags_are_tf_servings_and_transoms():
    assert set(FLAGS) == {*TF_SERVING.split(), *TRANSOMS}


def test_every_flag_is_accepted_with_its_default():
    values = [flag for flag in FLAGS.values() if flag.name not in ("help", "version") and flag.default != ""]
    line = parse([f"--{flag.name}={str(flag.default).lower()}" for flag in values])
    assert all(line[flag.name] == flag.default for flag in values)


def test_defaults_are_those_of_tf_serving():
    chosen = options()
    assert (chosen.port, chosen.rest_api_port, chosen.rest_api_timeout_in_ms) == (8500, 0, 30_000)
    assert (chosen.max_num_load_retries, chosen.load_retry_interval_micros) == (5, 60_000_000)
    assert (chosen.file_system_poll_wait_seconds, chosen.enable_model_warmup) == (1, True)
    model = chosen.models.model_config_list.config[0]
    assert (model.name, model.base_path, model.model_platform) == ("default", "/m", "tensorflow")
    assert to_options(parse(["--model_base_path=gs://b/m"])).models.model_config_list.config[0].base_path == "gs://b/m"
    assert chosen.batching is None
    assert chosen.metrics_path is None


def test_a_flag_is_written_in_three_ways():
    assert options("--port=1", "--rest_api_port", "2", "--enable_grpc_reflection").enable_grpc_reflection
    assert options("--rest_api_port", "2").rest_api_port == 2
    for text, value in (("true", True), ("1", True), ("false", False), ("0", False), ("False", False)):
        assert options(f"--enable_model_warmup={text}").enable_model_warmup is value
    assert options("--file_system_poll_wait_seconds=-1").file_system_poll_wait_seconds == -1
    assert options("--file_system_poll_wait_seconds", "-1e3").file_system_poll_wait_seconds == -1000
    assert (options().max_run_seconds, options("--max_run_seconds=0.5").max_run_seconds) == (300, 0.5)


@pytest.mark.parametrize("value", ["-keys", "-", "-1e3", "-x y", "a=b", ""])
def test_any_text_is_a_value_in_both_forms(value):
    assert parse(["--model_name", value])["model_name"] == parse([f"--model_name={value}"])["model_name"] == value


def test_two_dashes_are_a_value_after_an_equals_sign():
    assert parse(["--model_name=--"])["model_name"] == "--"


@pytest.mark.parametrize(
    ("arguments", "what", "part"),
    [
        (["--prt=1"], "unknown flag --prt", "did you mean --port?"),
        (["port=1"], "argument 'port=1'", "--help lists them"),
        (["-port=1"], "argument '-port=1'", "--help lists them"),
        (["--rest_api_por=1"], "unknown flag --rest_api_por", "did you mean --rest_api_port?"),
        ([MODEL, "--enable_batching", "true"], "argument 'true'", "--help"),
        (["--port=x"], "--port", "a whole number from 0 to 65535"),
        (["--port=70000"], "--port", "got: 70000"),
        (["--port=70000"], "--port", "write --port=VALUE: TCP port"),
        (["--reload_from=me"], "--reload_from", "write --reload_from=VALUE: who may reload"),
        (["--port"], "--port", "got: no value"),
        (["--model_name", "--port=1"], "--model_name", "got: no value"),
        (["--enable_batching=maybe"], "--enable_batching", "true, false, 1 or 0"),
        (["--model_name=x", "--"], "unknown flag --", "--help lists them"),
        (["--workers=0"], "--workers", "from 1 to 1024"),
        (["--workers=--"], "--workers", "got: --"),
        (["--drain_seconds=inf"], "--drain_seconds", "a number, at least 0"),
        (["--file_system_poll_wait_seconds=nan"], "--file_system_poll_wait_seconds", "a number"),
        (["--max_pending_bytes=" + "9" * 400], "--max_pending_bytes", "a whole number, at least 1"),
        ([], "--model_base_path", "neither it nor --model_config_file"),
        ([MODEL, "--port=0"], "--port and --grpc_socket_path", "got: neither"),
        ([MODEL, "--rest_api_port=8500"], "--rest_api_port", "got: 8500, as --port"),
        ([MODEL, "--batching_parameters_file=x"], "--batching_parameters_file", "--enable_batching with it"),
        ([MODEL, "--grpc_channel_arguments=a"], "--grpc_channel_arguments", "key=value,key=value"),
        (["--use_alts_credentials"], "--use_alts_credentials", "ALTS works only inside Google Cloud"),
        (["--platform_config_file=x"], "--platform_config_file", "only TensorFlow's platform"),
        (["--thread_pool_factory_config_file=x"], "--thread_pool_factory_config_file", "no pools"),
        (["--mixed_precision=bfloat16"], "--mixed_precision", "as it was exported"),
        (
            [MODEL, *(f"--tensorflow_{kind}_parallelism=2" for kind in ("session", "intra_op", "inter_op"))],
            "--tensorflow_session_parallelism",
            "either it or the other two",
        ),
    ],
)
def test_an_unusable_flag_is_refused_by_name(arguments, what, part):
    error = refusal(*arguments)
    assert error.what == what
    assert part in str(error)


def test_flags_without_effect_give_warnings():
    line = parse([MODEL, "--num_load_threads=4", "--grpc_max_threads=2", "--platform_config_file="])
    assert [warning.split()[0] for warning in line.warnings] == ["--num_load_threads", "--grpc_max_threads"]


def test_parallelism_and_channel_arguments_are_read():
    chosen = options("--tensorflow_session_parallelism=3")
    assert (chosen.intra_op_parallelism, chosen.inter_op_parallelism) == (3, 3)
    chosen = options("--tensorflow_intra_op_parallelism=2")
    assert (chosen.intra_op_parallelism, chosen.inter_op_parallelism) == (2, 0)
    chosen = options("--grpc_channel_arguments=grpc.max_connection_age_ms=2000,a=b", "--saved_model_tags=serve,gpu")
    assert chosen.grpc_channel_arguments == (("grpc.max_connection_age_ms", 2000), ("a", "b"))
    assert chosen.saved_model_tags == ("serve", "gpu")
    assert options("--per_process_gpu_memory_fraction=0.5").session_config.gpu_options is not None


def test_the_files_are_text_protos(tmp_path):
    file = written(
        tmp_path, 'model_config_list { config { name: "a" base_path: "/a" version_labels { key: "s" value: 1 } } }'
    )
    chosen = to_options(parse([f"--model_config_file={file}"]))
    assert chosen.models.model_config_list.config[0].version_labels["s"] == 1
    assert str(chosen.model_config_file) == file
    file = written(tmp_path, "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8")
    chosen = options("--enable_batching", f"--batching_parameters_file={file}")
    assert chosen.batching == {"max_batch_size": 8, "allowed_batch_sizes": [4, 8]}
    file = written(tmp_path, "enable_large_batch_splitting { value: false } pad_variable_length_inputs: true")
    chosen = options("--enable_batching", f"--batching_parameters_file={file}")
    assert chosen.batching == {"enable_large_batch_splitting": False, "pad_variable_length_inputs": True}
    file = written(tmp_path, "prometheus_config { enable: true }")
    chosen = options("--rest_api_port=1", f"--monitoring_config_file={file}")
    assert chosen.metrics_path == "/monitoring/prometheus/metrics"
    file = written(tmp_path, 'prometheus_config { enable: true path: "/p" }')
    assert options("--rest_api_port=1", f"--monitoring_config_file={file}").metrics_path == "/p"
    assert "no --rest_api_port" in str(refusal(MODEL, f"--monitoring_config_file={file}"))
    assert "no --rest_api_port" in str(refusal(MODEL, "--page"))
    file = written(tmp_path, 'prometheus_config { enable: true path: "/" }')
    chosen = options("--rest_api_port=1", f"--monitoring_config_file={file}")
    assert (chosen.metrics_path, chosen.page) == ("/", False)
    assert "--page has its page" in str(
        refusal(MODEL, "--page", "--rest_api_port=1", f"--monitoring_config_file={file}")
    )
    file = written(tmp_path, "gpu_options { allow_growth: true }")
    assert options(f"--tensorflow_session_config_file={file}").session_config.gpu_options.allow_growth


@pytest.mark.parametrize(
    ("flag", "text", "part"),
    [
        ("model_config_file", "model_config_lst {}", 'no field named "model_config_lst"'),
        ("model_config_file", "x", "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"),
        ("model_config_file", "custom_model_config {}", "custom_model_config"),
        ("monitoring_config_file", "prometheus { enable: true }", "prometheus_config"),
        ("monitoring_config_file", 'prometheus_config { enable: true path: "p" }', "begin it with /"),
        ("ssl_config_file", 'server_key: "x" server_cert: "y"', "cannot be used"),
        ("ssl_config_file", "client_verify: true", "client_verify without custom_ca"),
        ("batching_parameters_file", "max_batch_size: 3", "1:1"),
        ("batching_parameters_file", "num_batch_thread { value: 3 }", 'no field named "num_batch_thread"'),
    ],
)
def test_an_unusable_file_is_refused_with_the_position(tmp_path, flag, text, part):
    file = written(tmp_path, text)
    error = refusal(MODEL, "--enable_batching", "--rest_api_port=1", f"--{flag}={file}")
    assert part in str(error)
    assert file in error.what
    missing = refusal(MODEL, "--enable_batching", "--rest_api_port=1", f"--{flag}={tmp_path / 'no'}")
    assert missing.got == "No such file or directory"


def test_help_lists_every_flag(capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == usage({})
    assert main(["--host=127.0.0.1", "--help"]) == 0
    assert "(default: 0.0.0.0, here: 127.0.0.1)" in capsys.readouterr().out
    assert set(re.findall(r"^  --(\w+)", usage({}), re.MULTILINE)) == set(FLAGS)


def test_an_unknown_flag_exits_with_two_before_tensorflow_is_loaded():
    code = (
        "import sys\nfrom serving.server.main import main\ncode = main(sys.argv[1:])\n"
        "assert not {'tensorflow', 'grpc', 'aiohttp'} & set(sys.modules)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--prt=1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("serving: unknown flag --prt\n")
