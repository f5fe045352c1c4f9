"""A server process around the fake service, watched through its log. Not a test itself."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
from fronts import HOST, free_ports

from models.child_processes import tied_to_parent
from serving.wire import protos

HERE = Path(__file__).parent
PREDICT = "/v1/models/m:predict"
METRICS = "/monitoring/prometheus/metrics"
SLOW = {"instances": [1.0], "signature_name": "slow"}

# `serve` takes a factory, so a test passes its own.
SERVER = """
import sys
sys.path.insert(0, {here!r})
from serving.server import main
from serving.server.flags import parse, to_options
def fake(options):
    from fake_service import FakeService
    return FakeService(options)

def stuck(options):
    from stuck_service import StuckService
    return StuckService(options)

def never_starts(options):
    from stuck_service import NeverStarts
    return NeverStarts(options)

def never_imports(options):
    from stuck_service import never_imports
    return never_imports(options)

{more}
main.log_to_stderr()
try:
    code = main.serve(to_options(parse(sys.argv[1:])), {factory})
except main.OptionsError as error:
    print(error, file=sys.stderr)
    code = 2
heavy = {{"grpc", "aiohttp", "numpy", "tensorflow"}} & set(sys.modules)
print("heavy:", sorted(heavy), file=sys.stderr)
sys.exit(code)
"""


class ServerProcess:
    def __init__(self, folder, *flags, factory="fake", more=""):
        self.port, self.rest_port = free_ports()
        monitoring = folder / "monitoring.txt"
        monitoring.write_text("prometheus_config { enable: true }")
        self.log_file = folder / "log.txt"
        self.arguments = ["--model_name=m", "--model_base_path=/m", f"--host={HOST}", f"--port={self.port}"]
        self.arguments += [f"--rest_api_port={self.rest_port}", f"--monitoring_config_file={monitoring}", *flags]
        self.code = SERVER.format(here=str(HERE), factory=factory, more=more)
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                tied_to_parent([sys.executable, "-c", self.code, *self.arguments]), stderr=log
            )
        self.http = httpx.Client(base_url=f"http://{HOST}:{self.rest_port}", timeout=20)

    @property
    def log(self):
        return self.log_file.read_text()

    def wait_for(self, pattern, times=1, seconds=30):
        deadline = time.monotonic() + seconds
        while len(found := re.findall(pattern, self.log)) < times:
            assert time.monotonic() < deadline, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        return found

    def reload(self, *names, timeout=20, base_path=""):
        request = protos.ReloadConfigRequest()
        for name in names:
            request.config.model_config_list.config.add(name=name, base_path=base_path or f"/{name}")
        with grpc.insecure_channel(f"{HOST}:{self.port}") as channel:
            method = channel.unary_unary(f"/{protos.MODEL_SERVICE}/HandleReloadConfigRequest")
            try:
                method(request.SerializeToString(), timeout=timeout)
            except grpc.RpcError as error:
                return error.code().name, error.details()
        return "OK"

    def post(self, path=PREDICT, body=None):
        """Sends a request on a new connection, so that any worker may get it."""
        return httpx.post(f"http://{HOST}:{self.rest_port}{path}", json=body or {"instances": [1]}, timeout=20)

    def counted(self):
        """Successful requests to model m in all workers, from the metrics page."""
        page = httpx.get(f"http://{HOST}:{self.rest_port}{METRICS}", timeout=20)
        return int(re.search(r'request_count\{model_name="m",status="OK"\} (\d+)', page.text).group(1))

    def status_codes(self, name, times=12):
        """The status codes of several workers' responses for a model."""
        return {self.post(f"/v1/models/{name}:predict").status_code for _ in range(times)}

    def end(self, which=signal.SIGTERM, seconds=20):
        self.process.send_signal(which)
        return self.process.wait(seconds)


@contextlib.contextmanager
def server(folder, *flags, **how):
    one = ServerProcess(folder, *flags, **how)
    try:
        yield one
    finally:
        one.http.close()
        if one.process.poll() is None:
            one.process.terminate()
            try:
                one.process.wait(10)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


def has_ended(pid):
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)
