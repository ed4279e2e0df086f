"""A network of one's own: a namespace in which any address can be this machine's, and nothing gets out."""

import ctypes
import fcntl
import os
import socket
import struct

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_IFF_UP = 1


def lacking_namespaces() -> str:
    """What this process lacks to have one; empty where it lacks nothing. In CI nothing may be lacking."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    lacks = os.waitpid(child, 0)[1] != 0
    if lacks and os.environ.get("CI"):
        raise AssertionError("a network namespace cannot be made, and is required here")
    return "a network namespace of its own (needs root)" if lacks else ""


def enter_namespace() -> None:
    """Leave the machine's network for one with nothing but loopback. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare")
    set_loopback(up=True)


def set_loopback(*, up: bool) -> None:
    """Whether loopback carries anything; where it does not, nobody is told. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _, flags = struct.unpack("16sh", fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags))


def add_address(address: str, *, number: int = 1) -> None:
    """Have loopback answer to this IPv4 address too. Raises OSError."""
    name = f"lo:{number}".encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            sockaddr = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, struct.pack("16s16s", name, sockaddr))
