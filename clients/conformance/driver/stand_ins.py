"""What stands in for something that went wrong: an address without a server, a path that breaks, an older server."""

from __future__ import annotations

import socket
import struct
import threading


class DeadAddress:
    """An address that nobody listens on. It is bound, so no other process can get it during the run."""

    def __init__(self) -> None:
        """Binds a free port."""
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"


class Path:
    """A second way to the server, byte for byte. `cut` breaks it and `mend` brings it back."""

    def __init__(self, target: str) -> None:
        """Listens on a free port, and forwards to `target`."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks all connections, and each new one at once."""
        with self._lock:
            self._is_cut = True
            for connection in self._open:
                _break(connection)

    def mend(self) -> None:
        """Lets connections through again."""
        with self._lock:
            self._is_cut = False

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.socket()
            with self._lock:
                try:
                    if self._is_cut:
                        raise ConnectionError
                    far.connect(self._target)
                except OSError:
                    near.close()
                    far.close()
                    continue
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        _break(source)
        _break(sink)


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class OldServer:
    """A server, in plaintext, of a release that has none of the RPCs: it answers each call with UNIMPLEMENTED.

    It speaks just as much HTTP/2 (RFC 9113) as that needs, and does not read what a call says.
    """

    _DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
    _END_STREAM = 1
    _ANSWER = (
        b"\x88"  # :status 200, from the static table of HPACK
        + b"\x00\x0ccontent-type\x10application/grpc"
        + b"\x00\x0bgrpc-status\x0212"
        + b"\x00\x0cgrpc-message\x0eunknown method"
    )

    def __init__(self) -> None:
        """Listens on a free port."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                if stream.read(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
                    return
                connection.sendall(_frame(self._SETTINGS, 0, 0))
                while len(head := stream.read(9)) == 9:
                    length, kind, flags, number = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:]
                    body = stream.read(length)
                    if kind == self._SETTINGS and not flags & 1:
                        connection.sendall(_frame(self._SETTINGS, 1, 0))
                    elif kind == self._PING and not flags & 1:
                        connection.sendall(_frame(self._PING, 1, 0, body))
                    elif kind in (self._DATA, self._HEADERS) and flags & self._END_STREAM:
                        identifier = struct.unpack(">I", number)[0]
                        connection.sendall(_frame(self._HEADERS, 4 | self._END_STREAM, identifier, self._ANSWER))
        except OSError:
            pass


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + body
