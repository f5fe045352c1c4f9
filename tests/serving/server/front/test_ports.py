import socket

import pytest
from fronts import HOST

from serving.errors import OptionsError
from serving.server.front.ports import check_ports_free, reserve_ports
from serving.server.options import ServerOptions
from serving.wire.protos import ModelServerConfig


def test_workers_can_take_over_the_port_of_a_single_process_at_once():
    with socket.create_server(("127.0.0.1", 0)) as before:  # with SO_REUSEADDR, as a single process has
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            before.accept()[0].close()  # first, so that its end waits for a minute (TIME_WAIT)
            assert client.recv(1) == b""
    with reserve_ports(ServerOptions(models=ModelServerConfig(), host="127.0.0.1", port=port, rest_api_port=0)):
        pass


@pytest.mark.parametrize("host", ["192.0.2.77", "nowhere.invalid"])
def test_a_foreign_host_is_refused_by_its_flag(host):
    with pytest.raises(OptionsError) as caught:
        check_ports_free(ServerOptions(models=None, host=host, port=1))
    assert caught.value.what == f"--host={host}"


def test_workers_take_a_port_whose_last_server_has_closed_its_connections():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)) as client:
            listener.accept()[0].close()
            assert client.recv(1) == b""
    chosen = ServerOptions(models=None, host=HOST, port=port, workers=2)
    with reserve_ports(chosen):
        for second in (check_ports_free, lambda options: reserve_ports(options).__enter__()):
            with pytest.raises(OptionsError, match="already in use"):
                second(chosen)
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind((HOST, port))
            worker.listen()
