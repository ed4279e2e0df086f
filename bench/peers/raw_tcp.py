"""The least that can be done: a file's bytes over one TCP connection, into memory or into a file with its SHA-256.

python raw_tcp.py receive [FILE [synced]]   prints its port, takes one connection after another, answers with the digest
python raw_tcp.py send PORT FILE [checked]  hashes the file itself too, and compares
"""

import os
import socket
import sys
from hashlib import sha256
from typing import BinaryIO

PIECE = 1 << 20


def receive(path: str | None = None, synced: str = "") -> None:
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
                        if synced:
                            os.fdatasync(stream.fileno())
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


def send(port: str, path: str, checked: str = "") -> None:
    buffer, digest = memoryview(bytearray(PIECE)), sha256()
    with open(path, "rb", buffering=0) as stream, socket.create_connection(("127.0.0.1", int(port))) as connection:
        while count := stream.readinto(buffer):
            if checked:
                digest.update(buffer[:count])
            connection.sendall(buffer[:count])
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1 << 10).decode()
    print(answer)
    if checked and answer != digest.hexdigest():
        sys.exit(f"{answer} is not the digest of {path}")


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(*sys.argv[2:])
    else:
        send(*sys.argv[2:])
