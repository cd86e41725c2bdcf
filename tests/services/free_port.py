"""Free TCP ports on loopback: `free_port.py [N]` prints N different ones.

They are taken from below the kernel's ephemeral range, and tried with bind(). A port that bind(0) gives lies inside that range,
which is wrong for a server that a test kills and starts again: meanwhile an outgoing connection may get the port, even that of
the client that tries to reach it (TCP allows a connection to oneself), and the server can't come back.
"""

import random
import socket
import sys

LOWEST = 10000


def _ephemeral_low():
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
            return int(f.read().split()[0])
    except OSError:
        return 32768


def free_ports(n):
    """n different ports that nobody holds now, in no order."""
    high = _ephemeral_low()
    if high < LOWEST + 1000:  # a machine with nearly everything ephemeral: any port is as good
        high = 65536
    sockets = []
    try:
        for port in random.SystemRandom().sample(range(LOWEST, high), high - LOWEST):
            if len(sockets) == n:
                break
            s = socket.socket()
            try:
                s.bind(("127.0.0.1", port))
                sockets.append(s)
            except OSError:
                s.close()
        if len(sockets) < n:
            raise RuntimeError(f"fewer than {n} free ports from {LOWEST} to {high}")
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def free_port():
    return free_ports(1)[0]


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
