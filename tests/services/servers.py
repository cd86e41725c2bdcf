"""Real servers for the system tests, and a proxy that loses things.

Each class wraps the script of its name beside this file, which documents what it does, and ends only what it started. All are
context managers, and `start` on something that runs changes nothing, so that a class can also be put on an instance started by
hand:

    with Kafka(tmp_path / "kafka", settings={"transaction.max.timeout.ms": 20000}) as kafka:
        ... kafka.bootstrap ...
        kafka.kill()
        kafka.up()

Methods block until the thing has happened: started means ready, killed means gone. A script that fails raises ServerError with
what it said. Without a folder an instance gets a temporary one, which goes with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from free_port import free_port, free_ports  # noqa: F401  (tests take them from here)

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 900  # with an empty cache and a slow network


class ServerError(RuntimeError):
    pass


class _Server:
    """What the scripts have in common. `script` is the script's name."""

    script = ""

    def __init__(self, dir=None):
        self._temporary = dir is None
        self.dir = Path(dir or tempfile.mkdtemp(prefix=f"argilla-bridge-{self.script}-"))

    def _run(self, *arguments, timeout_s=60):
        command = [str(HERE / self.script), *map(str, arguments), "--dir", str(self.dir)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def stop(self):
        """In an orderly way; the data stays."""
        self._run("stop")

    def wipe(self):
        """At once, with all data."""
        self._run("wipe")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, *_):
        if self._temporary:
            self.wipe()
        else:
            self.stop()


class Kafka(_Server):
    """One broker, or three. Nodes count from 1. `proxy_ports`, one per node: see EndTxnProxy."""

    script = "kafka"

    def __init__(self, dir=None, nodes=1, settings=None, port=0, proxy_ports=()):
        super().__init__(dir)
        self.nodes = nodes
        self.bootstrap = None
        self.proxied = []  # where a proxy connects to, "host:port" per node
        self._options = ["--nodes", nodes, "--port", port]  # the folder remembers them, so they go with the first start only
        for key, value in (settings or {}).items():
            self._options += ["--set", f"{key}={value}"]
        if proxy_ports:
            self._options += ["--proxy-port", ",".join(map(str, proxy_ports))]

    def start(self):
        self.bootstrap = self._run("start", *self._options, timeout_s=START_TIMEOUT_S)
        self._options = []
        self.proxied = self._run("proxied").split()
        return self

    def kill(self, node=1):
        self._run("kill", node)

    def pause(self, node=1):
        self._run("pause", node)

    def cont(self, node=1):
        self._run("cont", node)

    def up(self, node=1):
        """Starts a node again after kill."""
        self._run("up", node, timeout_s=START_TIMEOUT_S)

    def pid(self, node=1):
        return int((self.dir / str(node) / "pid").read_text(encoding="ascii").split()[0])

    def log(self, node=1):
        return (self.dir / str(node) / "log").read_text(encoding="utf-8", errors="replace")


class _HttpServer(_Server):
    """One process that answers at `url`."""

    def __init__(self, dir=None, port=0):
        super().__init__(dir)
        self.url = None
        self._port = port

    def _start_options(self):
        return ["--port", self._port]

    def start(self):
        self.url = self._run("start", *self._start_options(), timeout_s=START_TIMEOUT_S)
        return self

    def kill(self):
        self._run("kill")

    def pause(self):
        self._run("pause")

    def cont(self):
        self._run("cont")

    def up(self):
        """Starts it again after stop or kill, on the same port."""
        return self.start()

    def pid(self):
        return int((self.dir / "pid").read_text(encoding="ascii").split()[0])

    def log(self):
        return (self.dir / "log").read_text(encoding="utf-8", errors="replace")


class OpenSearch(_HttpServer):
    script = "opensearch"


class Argilla1(_HttpServer):
    """argilla-server 1.29.1 on an OpenSearch (or its URL) that no other Argilla 1.x uses."""

    script = "argilla1"
    workspace = "argilla"
    api_key = "argilla.apikey"  # the owner `argilla`
    annotator_api_key = "annotator.apikey"  # the user `annotator`

    def __init__(self, dir=None, opensearch=None, port=0):
        super().__init__(dir, port)
        self._opensearch = opensearch

    def _start_options(self):
        options = super()._start_options()
        if self._opensearch is not None:  # else the folder remembers it
            options += ["--opensearch", getattr(self._opensearch, "url", self._opensearch)]
        return options


class EndTxnProxy:
    """Between a client and a node of Kafka, spoiling the end of transactions; endtxn_proxy.py says how.

        port = free_port()
        with Kafka(tmp_path, proxy_ports=[port]) as kafka, EndTxnProxy(kafka.proxied[0], "delay", port, hold_s=6) as proxy:
            ... a client with bootstrap.servers = proxy.bootstrap ...
            assert proxy.counts()["late"] > 0
    """

    def __init__(self, upstream, fate, port=0, probability=1.0, hold_s=6.0, skip=0, limit=-1, seed=None):
        self._port = port
        self._options = ["--upstream", upstream, "--fate", fate, "--listen", port, "--probability", probability]
        self._options += ["--hold", hold_s, "--skip", skip, "--limit", limit]
        if seed is not None:
            self._options += ["--seed", seed]
        self._process = None
        self._counts_file = None
        self.bootstrap = None

    def start(self):
        handle, self._counts_file = tempfile.mkstemp(prefix="argilla-bridge-proxy-")
        os.close(handle)
        command = [sys.executable, HERE / "endtxn_proxy.py", *self._options, "--counts", self._counts_file]
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        line = self._process.stdout.readline()
        if not line:
            raise ServerError(f"endtxn_proxy.py: exit status {self._process.wait()}")
        self.bootstrap = f"127.0.0.1:{int(line)}"
        return self

    def counts(self):
        with open(self._counts_file, encoding="ascii") as f:
            return json.load(f)

    def stop(self):
        """Returns the last counts."""
        self._process.send_signal(signal.SIGTERM)
        line, _ = self._process.communicate(timeout=30)
        os.unlink(self._counts_file)
        return json.loads(line)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self._process.poll() is None:
            self.stop()
