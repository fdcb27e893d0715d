"""Hosts for a cluster on one machine: loopback addresses, or network namespaces joined by a bridge.

A namespace has its own interfaces and addresses, so what reaches another host goes through a network: a process that
gives away a loopback address, or the address of another interface, is not found. Files are shared by all hosts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

SUBNET = "10.213.7"


@dataclass(frozen=True)
class Host:
    """Where processes run: `enter` goes before a command line."""

    address: str
    enter: tuple[str, ...] = ()


def loopback_hosts(count: int) -> list[Host]:
    """Hosts that differ in nothing but their address: for any user on Linux."""
    return [Host(f"127.0.0.{number}") for number in range(1, count + 1)]


def can_make_namespaces() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


@contextmanager
def namespace_hosts(count: int) -> Iterator[list[Host]]:
    """`count` namespaces on a bridge, without a route to anywhere else; gone afterwards. Needs root."""
    tag = f"pr{os.getpid() % 100_000}"  # names of interfaces have at most 15 characters
    hosts = []
    with ExitStack() as undo:
        # The bridge lives in a namespace of its own: this machine's own network stays as it is.
        _make_namespace(switch := f"{tag}s", undo)
        _ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge0", "up")
        for number in range(1, count + 1):
            _make_namespace(name := f"{tag}h{number}", undo)
            address, port = f"{SUBNET}.{number}", f"port{number}"
            _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", port, "netns", switch)
            _ip("-n", switch, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            hosts.append(Host(address, ("ip", "netns", "exec", name)))
        yield hosts


def _make_namespace(name: str, undo: ExitStack) -> None:
    _ip("netns", "add", name)
    undo.callback(_ip, "netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
