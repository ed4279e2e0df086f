"""The least that can be done: a file's bytes over one TCP connection, into memory or into a file with its SHA-256.

python raw_tcp.py receive [FILE]      prints its port, takes one connection after another, answers with the digest
python raw_tcp.py send PORT FILE
"""

import socket
import sys
from hashlib import sha256
from typing import BinaryIO

PIECE = 1 << 20


def receive(path: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on {listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                if path is None:
                    answer = into_memory(connection)
                else:
                    with open(path, "wb", buffering=0) as stream:
                        answer = into_file(connection, stream)
                connection.sendall(answer.encode())


def into_memory(connection: socket.socket) -> str:
    buffer, total = bytearray(PIECE), 0
    while count := connection.recv_into(buffer):
        total += count
    return str(total)


def into_file(connection: socket.socket, stream: BinaryIO) -> str:
    buffer, digest = memoryview(bytearray(PIECE)), sha256()
    while count := connection.recv_into(buffer):
        digest.update(buffer[:count])
        stream.write(buffer[:count])
    return digest.hexdigest()


def send(port: int, path: str) -> None:
    buffer = memoryview(bytearray(PIECE))
    with open(path, "rb", buffering=0) as stream, socket.create_connection(("127.0.0.1", port)) as connection:
        while count := stream.readinto(buffer):
            connection.sendall(buffer[:count])
        connection.shutdown(socket.SHUT_WR)
        print(connection.recv(1 << 10).decode())


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        send(int(sys.argv[2]), sys.argv[3])
