"""TCP with nothing above it: one sends zeros for ever and says what was acknowledged, one reads them and drops them.

python -c "from bench.raw_tcp import receive; receive('10.10.0.2')"             says "listening on PORT"
python -c "from bench.raw_tcp import send; send('10.10.0.2', PORT, 'cubic')"    says a number of bytes now and then
"""

import socket
import sys
import threading
import time
from typing import Final

LOOK_SECONDS: Final = 0.1
_PIECE: Final = bytes(1 << 20)
_ACKED: Final = slice(120, 128)
"""tcpi_bytes_acked of struct tcp_info in linux/tcp.h."""


def receive(address: str) -> None:
    """Take one connection, and read it to its end."""
    with socket.create_server((address, 0)) as listener:
        print(f"listening on {listener.getsockname()[1]}", flush=True)
        connection, _ = listener.accept()
        taken = bytearray(len(_PIECE))
        with connection:
            while connection.recv_into(taken):
                pass


def send(address: str, port: int, congestion: str) -> None:
    """Send until somebody ends this process."""
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        connection.connect((address, port))
        threading.Thread(target=_tell, args=[connection], daemon=True).start()
        while True:
            connection.sendall(_PIECE)


def _tell(connection: socket.socket) -> None:
    while True:
        facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.stop)
        print(int.from_bytes(facts[_ACKED], sys.byteorder), flush=True)
        time.sleep(LOOK_SECONDS)
