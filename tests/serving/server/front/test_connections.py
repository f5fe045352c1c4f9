import asyncio
import resource
import socket
import time

import pytest

from serving.server.front.connections import Connections, ConnectionState, connection_limit
from serving.server.front.listening import SocketListener, bind_tcp


class Peer:
    """A connection that only records whether it has been closed."""

    def __init__(self):
        self.evicted = False

    def evict(self):
        self.evicted = True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def with_connections(test, most=4, **how):
    """Runs `test(connections, clock, open)`; `open(state)` creates a connection that has just entered the state."""

    async def main():
        clock = Clock()
        connections = Connections(most, clock=clock, **how)

        def open_one(state):
            one = Peer()
            connections.register(one)
            connections.touch(one, state)
            return one

        return test(connections, clock, open_one)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "state", [ConnectionState.OPENING, ConnectionState.IDLE, ConnectionState.RECEIVING, ConnectionState.SENDING]
)
def test_the_connection_that_waited_longest_for_its_client_is_replaced(state):
    def test(connections, clock, open_one):
        peers = []
        for _ in range(4):
            peers.append(open_one(state))
            clock.now += 0.01
        connections.touch(peers[0], state)  # it makes progress
        assert connections.make_room()
        assert [one.evicted for one in peers] == [False, True, False, False]
        assert len(connections) == 3
        assert connections.make_room()
        assert len(connections) == 3

    with_connections(test)


def test_a_connection_with_running_work_is_never_closed():
    def test(connections, clock, open_one):
        peers = [open_one(ConnectionState.RUNNING) for _ in range(4)]
        clock.now += 1e6
        connections.sweep()
        assert not connections.make_room()
        called = []
        connections.call_when_room(lambda: called.append(connections.make_room()))
        connections.touch(peers[2], ConnectionState.IDLE)
        assert called == [True]
        assert [one.evicted for one in peers] == [False, False, True, False]

    with_connections(test)


def test_a_crowd_in_one_state_makes_room_before_newcomers_do():
    def test(connections, clock, open_one):
        idle = open_one(ConnectionState.IDLE)
        crowd = [open_one(ConnectionState.RECEIVING) for _ in range(3)]
        for _ in range(20):
            clock.now += 0.001
            assert connections.make_room()
            crowd.append(open_one(ConnectionState.RECEIVING))
        assert not idle.evicted
        assert [one.evicted for one in crowd] == [True] * 20 + [False] * 3

    with_connections(test)


def test_a_connection_slow_to_send_its_header_is_closed_before_idle_ones():
    def test(connections, clock, open_one):
        idle = [open_one(ConnectionState.IDLE) for _ in range(3)]
        half = open_one(ConnectionState.OPENING)
        clock.now += 1.5
        assert connections.make_room()
        assert half.evicted
        assert not any(one.evicted for one in idle)

    with_connections(test)


@pytest.mark.parametrize(
    "state", [ConnectionState.OPENING, ConnectionState.IDLE, ConnectionState.RECEIVING, ConnectionState.SENDING]
)
def test_each_state_has_its_time_limit(state):
    def test(connections, clock, open_one):
        one = open_one(state)
        clock.now += 9
        connections.touch(one, state)
        clock.now += 9
        connections.sweep()
        assert not one.evicted
        clock.now += 2
        connections.sweep()
        assert one.evicted
        assert len(connections) == 0
        connections.touch(one, ConnectionState.IDLE)  # a closed connection does not come back
        connections.unregister(one)
        assert len(connections) == 0

    with_connections(test, timeouts=dict.fromkeys(set(ConnectionState) - {ConnectionState.RUNNING}, 10.0))


def test_stalled_messages_are_dropped_while_memory_is_short():
    short = []

    def test(connections, clock, open_one):
        peers = [
            open_one(state) for state in (ConnectionState.IDLE, ConnectionState.RECEIVING, ConnectionState.SENDING)
        ]
        clock.now += 6
        connections.sweep()
        assert not any(one.evicted for one in peers)
        short.append(True)
        connections.sweep()
        assert [one.evicted for one in peers] == [False, True, True]

    with_connections(test, memory_short=lambda: bool(short))


def test_the_log_gets_one_line_a_minute(caplog, monkeypatch):
    monkeypatch.setattr("serving.server.front.connections._GATHER_SECONDS", 0.05)

    async def main():
        connections = Connections(2)
        for _ in range(500):
            connections.make_room()
            connections.register(Peer())
        await asyncio.sleep(0.3)
        for _ in range(500):
            connections.make_room()
            connections.register(Peer())
        await asyncio.sleep(0.2)

    asyncio.run(main())
    assert [one.getMessage() for one in caplog.records] == [
        "2 connections of at most 2; since the last such line: 498 closed without a complete header for a new one"
    ]


def test_the_limit_leaves_descriptors_for_everything_else(monkeypatch):
    raised = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 400))
    assert 200 < connection_limit(1024) < 340
    assert raised == [(400, 400)]
    assert connection_limit(100) == 100
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))
    assert connection_limit(1024) == 8
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connection_limit(1024) == 1024


class Echo(asyncio.Protocol):
    """Echoes data, and stays open."""

    def __init__(self, connections):
        self._connections = connections

    def connection_made(self, transport):
        self._transport = transport
        self._connections.register(self)

    def data_received(self, data):
        self._transport.write(data)
        self._connections.touch(self, ConnectionState.RUNNING if data == b"work" else ConnectionState.IDLE)

    def connection_lost(self, exc):
        self._connections.unregister(self)

    def evict(self):
        self._transport.abort()


def test_a_listener_serves_the_newest_connection():
    async def main():
        connections = Connections(5)
        sockets = bind_tcp("127.0.0.1", 0, shared=False)
        listener = SocketListener(sockets, connections, lambda: Echo(connections))
        port = sockets[0].getsockname()[1]
        writers = []
        for _ in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
            writers.append(writer)
            assert len(connections) <= 6
        listener.close()
        for writer in writers:
            writer.close()

    asyncio.run(main())


def test_a_newcomer_waits_while_all_others_are_being_served():
    async def main():
        connections = Connections(2)
        sockets = bind_tcp("127.0.0.1", 0, shared=False)
        listener = SocketListener(sockets, connections, lambda: Echo(connections))
        port = sockets[0].getsockname()[1]
        busy = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"work")
            await asyncio.wait_for(reader.readexactly(4), 10)
            busy.append(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(5), 0.3)
        busy[0].close()
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
        for one in (writer, busy[1]):
            one.close()
        listener.close()

    asyncio.run(main())


class Exhausted:
    """A socket on a system without free descriptors."""

    def __init__(self, real):
        self._real, self.accepts = real, 0

    def __getattr__(self, name):
        return getattr(self._real, name)

    def accept(self):
        self.accepts += 1
        raise OSError(24, "Too many open files")


def test_without_descriptors_a_connection_is_closed_and_nothing_spins():
    async def main():
        connections = Connections(5)
        idle = Peer()
        connections.register(idle)
        connections.touch(idle, ConnectionState.IDLE)
        real = bind_tcp("127.0.0.1", 0, shared=False)[0]
        exhausted = Exhausted(real)
        listener = SocketListener([exhausted], connections, lambda: Echo(connections))
        with socket.create_connection(real.getsockname()):
            start = time.monotonic()
            await asyncio.sleep(0.5)
            assert idle.evicted
            assert 1 <= exhausted.accepts <= 2 + (time.monotonic() - start) / 0.1
        listener.close()

    asyncio.run(main())
