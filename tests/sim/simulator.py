"""The simulator as a test, demo or benchmark starts it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import requests

BINARY = Path(os.environ.get("SIM_BINARY", Path(__file__).resolve().parents[2] / "build/dev/tests/sim/argilla-sim"))


class Sim:
    """One process, on ports of its own; `dir` holds its ready file."""

    def __init__(self, dir, *options):
        self.ready = Path(dir) / "ready"
        words = [str(BINARY), "--port", "0", "--ready-file", str(self.ready), *map(str, options)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.ready.exists():
            assert self.process.poll() is None, f"the simulator ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the simulator isn't ready"
            time.sleep(0.01)
        env = dict(word.split("=", 1) for word in self.ready.read_text().split()[1:])
        self.url, self.kafka = env["ARGILLA1_URL"], env.get("KAFKA_BOOTSTRAP")

    def control(self, what, body=None, method=None):
        r = requests.request(method or ("GET" if body is None else "POST"), f"{self.url}/_sim/{what}", json=body, timeout=30)
        assert r.ok, r.text
        return r.json()

    def fault(self, match="", **more):
        self.control("faults", {"match": match, **more})

    def peak_mib(self):
        """The most memory that it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def stop(self):
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            code = self.stop()
            assert code == 0, f"the simulator ended with {code}"
