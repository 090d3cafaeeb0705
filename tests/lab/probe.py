"""Measures a network from the inside; a program of its own, which runs in the lab's hosts.

sink PORT                      takes TCP connections; a line with bytes, begin, seconds and sender for each
send ADDRESS PORT BYTES        gives so many bytes to a sink
echo PORT                      sends UDP packets back
ping ADDRESS PORT COUNT BYTES  a line with the round trips in seconds, lost ones left out
"""

from __future__ import annotations

import json
import socket
import sys
import time

_LOST_S = 1.0
_CHUNK = bytes(1 << 16)


def sink(port: int) -> None:
    """Takes connections, one after the other."""
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        while True:
            connection, (sender, _) = server.accept()
            with connection:
                first_s, count = 0.0, 0
                while data := connection.recv(1 << 20):
                    first_s = first_s or time.monotonic()
                    count += len(data)
                seconds = time.monotonic() - first_s
            print(json.dumps({"bytes": count, "begun_s": first_s, "seconds": seconds, "sender": sender}), flush=True)


def send(address: str, port: int, count: int) -> None:
    """Gives bytes."""
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.settimeout(None)
        while count > 0:
            count -= connection.send(_CHUNK[:count])


def echo(port: int) -> None:
    """Sends back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", port))
        print("ready", flush=True)
        while True:
            data, sender = server.recvfrom(1 << 16)
            server.sendto(data, sender)


def ping(address: str, port: int, count: int, length: int) -> None:
    """Asks again and again."""
    trips: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_LOST_S)
        client.connect((address, port))  # a socket that is not connected is not told of refusals
        for number in range(count):
            question = number.to_bytes(8) + bytes(length - 8)
            begun_s = time.monotonic()
            try:
                client.send(question)
                while client.recv(1 << 16) != question:
                    pass
                trips.append(time.monotonic() - begun_s)
            except TimeoutError:
                pass
            except ConnectionRefusedError:
                print("refused", flush=True)
                return
    print(json.dumps(trips), flush=True)


if __name__ == "__main__":
    {"sink": sink, "send": send, "echo": echo, "ping": ping}[sys.argv[1]](
        *(int(word) if word.isdecimal() else word for word in sys.argv[2:])  # pyright: ignore[reportArgumentType]
    )
