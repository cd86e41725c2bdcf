#!/usr/bin/env python3
"""A TCP proxy in front of one Kafka broker that spoils the end of transactions.

    endtxn_proxy.py --upstream HOST:PORT --fate FATE [--probability P] [--listen PORT] [--hold S] [--skip N] [--limit N]
                    [--counts FILE] [--seed N]

Everything passes, but each EndTxn request (commit or abort) meets, with probability P (1), the FATE:

    swallow  the broker gets it, the client never gets the answer: its connection stays and its socket.timeout runs out
    cut      the broker gets it and answers; then the client's connection is closed instead
    cutreq   the connection is closed before the broker gets it
    delay    the client's connection is closed, and the broker gets the request S seconds (6) later, when the client has long
             reconnected and repeated it: a packet that was on its way when the connection broke
    mix      one of these, at random
    none     passes; only counted

The first N of --skip pass untouched, and after N of --limit nothing is spoilt any more.

A client finds brokers by what they say of themselves, so the broker must say the proxy's port: `kafka start --proxy-port PORT`
gives it a listener for that, and `kafka proxied` tells the HOST:PORT to pass as --upstream. The proxy rewrites nothing.

Counts are a JSON object: connections, endtxn, passed, swallow, cut, cutreq, delay, late (delays that the broker has got by now).
They go to FILE at each change (replaced as a whole, so a reader never sees half of it) and, at SIGTERM, as one line to
standard output. When the proxy listens, it prints its port as a line of its own.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import struct
import sys

END_TXN = 26  # https://kafka.apache.org/protocol#The_Messages_EndTxn
FATES = ("swallow", "cut", "cutreq", "delay")
MAX_FRAME = 128 * 1024 * 1024  # over any broker's socket.request.max.bytes in use (100 MiB by default)
ANSWER_TIMEOUT_S = 30  # for the answer to a delayed request, which nobody waits for any more


class Counts:
    def __init__(self, path):
        self.path = path
        self.values = dict.fromkeys(("connections", "endtxn", "passed", *FATES, "late"), 0)
        self._write()

    def add(self, name):
        self.values[name] += 1
        self._write()

    def _write(self):
        if self.path:
            with open(self.path + ".new", "w", encoding="ascii") as f:
                f.write(str(self) + "\n")
            os.replace(self.path + ".new", self.path)

    def __str__(self):
        return json.dumps(self.values)


class Judge:
    """Decides what happens to an EndTxn."""

    def __init__(self, fate, probability, skip, limit, seed):
        self.fate, self.probability, self.skip, self.limit = fate, probability, skip, limit
        self.random = random.Random(seed)

    def next_fate(self):
        """One of FATES, or None: let it pass."""
        if self.skip > 0:
            self.skip -= 1
            return None
        if self.fate == "none" or self.limit == 0 or self.random.random() >= self.probability:
            return None
        self.limit -= 1  # from below 0: never reaches it
        return self.random.choice(FATES) if self.fate == "mix" else self.fate


async def read_frame(reader):
    """A request or answer with its length in front; IncompleteReadError at the end of the stream."""
    head = await reader.readexactly(4)
    (size,) = struct.unpack(">i", head)
    if not 4 <= size <= MAX_FRAME:
        raise ConnectionError(f"a frame of {size} bytes")
    return head + await reader.readexactly(size)


class Connection:
    """A client's connection and the one to the broker that goes with it."""

    def __init__(self, client, broker, judge, counts, hold_s):
        self.client_in, self.client_out = client
        self.broker_in, self.broker_out = broker
        self.judge, self.counts, self.hold_s = judge, counts, hold_s
        self.doomed_answers = {}  # correlation id -> "swallow" or "cut"
        self.late = None  # a request that waits for its time

    async def requests(self):
        """Client to broker, until the client's side is to be closed."""
        while True:
            frame = await read_frame(self.client_in)
            api_key, _version, correlation_id = struct.unpack(">hhi", frame[4:12])
            if api_key == END_TXN:
                self.counts.add("endtxn")
                fate = self.judge.next_fate()
                self.counts.add(fate or "passed")
                if fate == "cutreq":
                    return
                if fate == "delay":
                    self.late = frame
                    return
                if fate:
                    self.doomed_answers[correlation_id] = fate
            self.broker_out.write(frame)
            await self.broker_out.drain()

    async def answers(self):
        """Broker to client, until the client's side is to be closed."""
        while True:
            frame = await read_frame(self.broker_in)
            (correlation_id,) = struct.unpack(">i", frame[4:8])
            fate = self.doomed_answers.pop(correlation_id, None)
            if fate == "cut":
                return
            if fate is None:
                self.client_out.write(frame)
                await self.client_out.drain()

    async def deliver_late(self):
        """The broker takes one request at a time from a connection, so it has done this one when its answer comes."""
        (wanted,) = struct.unpack(">i", self.late[8:12])
        await asyncio.sleep(self.hold_s)
        self.broker_out.write(self.late)
        await self.broker_out.drain()
        while struct.unpack(">i", (await read_frame(self.broker_in))[4:8])[0] != wanted:
            pass
        self.counts.add("late")

    async def run(self):
        tasks = [asyncio.create_task(self.requests()), asyncio.create_task(self.answers())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.client_out.close()
            if self.late is not None:
                await asyncio.wait_for(self.deliver_late(), self.hold_s + ANSWER_TIMEOUT_S)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass  # the broker went away meanwhile; `late` doesn't count this one
        finally:
            self.client_out.close()
            self.broker_out.close()


async def serve(options):
    counts = Counts(options.counts)
    judge = Judge(options.fate, options.probability, options.skip, options.limit, options.seed)
    host, port = options.upstream

    async def accept(client_in, client_out):
        counts.add("connections")
        try:
            broker = await asyncio.open_connection(host, port)
        except OSError:  # the broker is down: so is the proxy, as the client sees it
            client_out.close()
            return
        await Connection((client_in, client_out), broker, judge, counts, options.hold).run()

    server = await asyncio.start_server(accept, "127.0.0.1", options.listen)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    print(counts, flush=True)


def address(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=address, required=True)
    parser.add_argument("--fate", choices=(*FATES, "mix", "none"), required=True)
    parser.add_argument("--probability", type=float, default=1.0)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--hold", type=float, default=6.0)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--limit", type=int, default=-1)
    parser.add_argument("--counts")
    parser.add_argument("--seed", type=int)
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(serve(parse(sys.argv[1:])))
