"""Does deploy/demo, the README's first command, show the bridge at work, tell the truth about it, and leave nothing behind?"""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer
from harness import ROOT, eventually

sys.path[:0] = [str(ROOT / "tests/sim")]

from simulator import Sim  # noqa: E402

DEMO = ROOT / "deploy/demo"
BUILD = Path(os.environ.get("DEMO_BUILD", ROOT / "build/dev"))
SUMMARY = re.compile(r"fired (\d+), batches (\d+), records (\d+), batch_id (\S+) -> (\S+), duplicates (\d+), missing (\d+)")
PROGRAMS = ("argilla-sim", "argilla-bridge", "demo-reader")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def program(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rsplit("/", 1)[-1]
    except OSError:
        return None


def waits_for(pid, number):
    """It has blocked the signal, which it takes when it is ready to."""
    mask = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text()).group(1)
    return int(mask, 16) >> (number - 1) & 1


class Demo:
    """One run of the script, in a temporary folder of its own."""

    def __init__(self, dir, *options):
        self.dir = dir
        self.process = subprocess.Popen(
            [DEMO, *map(str, options)], env={**os.environ, "TMPDIR": str(dir)}, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )  # fmt: skip
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.pids = {}

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    @property
    def text(self):
        return "".join(list(self.lines))

    def runs(self):
        """Waits until something has been fired, and takes down what runs."""
        eventually(lambda: re.search(r"  run  .* n_records ", self.text) or self.process.poll() is not None, 60, "a run")
        assert self.process.poll() is None, self.text
        self.pids = {program(pid): pid for pid in children(self.process.pid) if program(pid) in PROGRAMS}
        assert sorted(self.pids) == sorted(PROGRAMS)
        return self

    def end(self, timeout_s=120):
        """The exit status, once nothing of it is left."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        assert not any(program(pid) == name for name, pid in self.pids.items()), "still running"
        assert list(self.dir.iterdir()) == [], "left in the temporary folder"
        return code


def test_it_ends_by_itself_with_a_sum_of_what_was_read(tmp_path):
    options = ["--build", BUILD] if "DEMO_BUILD" in os.environ else []  # else it builds, as for a user
    with Demo(tmp_path, "--runs", 12, *options) as demo:
        assert demo.end() == 0, demo.text
    fired, batches, records, first, last, duplicates, missing = map(int, SUMMARY.fullmatch(demo.lines[-1].strip()).groups())
    runs = re.findall(r"  run     (\S+) +run (\d+)  key (\S+)(?:  batch_id (\d+) → (\d+))?  total (\d+)  n_records (\d+)", demo.text)
    assert fired == len(runs) >= 12 and (duplicates, missing) == (0, 0)
    assert {run[0] for run in runs} == {"ten-by-ten", "changed", "quality"}
    assert records == sum(int(run[-1]) for run in runs)
    guide = [run for run in runs if run[0] == "ten-by-ten"]
    assert [(int(run[3]), int(run[4])) for run in guide] == [(i, i + 1) for i in range(len(guide))]
    assert batches == len(guide) > 2 and (first, last) == (0, len(guide))
    assert len(re.findall(r"  batch   ten-by-ten .*  total 10  .*10 records  F1 f1_macro \d", demo.text)) == batches
    assert max(map(len, demo.lines)) < 200 and demo.text.count("listeners: (") == 1


@pytest.mark.parametrize("killed", PROGRAMS)
def test_it_fails_when_something_of_it_dies(tmp_path, killed):
    with Demo(tmp_path, "--build", BUILD) as demo:
        os.kill(demo.runs().pids[killed], signal.SIGKILL)
        assert demo.end(60) == 1, demo.text
    assert "has ended" in demo.text


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing(tmp_path, number, code):
    with Demo(tmp_path, "--build", BUILD) as demo:
        os.kill(demo.runs().process.pid, number)
        assert demo.end(60) == code, demo.text


def test_keep_goes_on_until_ctrl_c_and_then_tells_the_sum(tmp_path):
    with Demo(tmp_path, "--keep", "--runs", 1, "--build", BUILD) as demo:
        n = len(demo.runs().lines)
        eventually(lambda: len(demo.lines) > n + 5, 30, "more messages")
        shown = re.search(r"-c (\S+demo.cfg)", demo.text).group(1)
        words = re.search(r"ARGILLA_API_KEY=(\S+) (\S+) explain", demo.text)
        explained = subprocess.run(
            [words.group(2), "explain", "changed", "-c", shown], env={**os.environ, "ARGILLA_API_KEY": words.group(1)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert explained.returncode == 0, explained.stderr
        os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does: all of the foreground group
        assert demo.end(60) == 0, demo.text
    assert SUMMARY.fullmatch(demo.lines[-1].strip()) and "duplicates 0, missing 0" in demo.lines[-1]


def test_killed_itself_it_takes_all_with_it(tmp_path):
    with Demo(tmp_path, "--build", BUILD) as demo:
        demo.runs().process.kill()
        eventually(lambda: not any(program(pid) == name for name, pid in demo.pids.items()), 60, "the end of all")


# ---- the subscriber alone, fed with what a broken bridge would send ----


def send(producer, kind, run, what, value, topic="t"):
    headers = {"ce_id": f"l.0.{run}.{kind}.{what}", "ce_type": f"argilla-bridge.{kind}", "ce_argillalistener": "l", "ce_argillarun": str(run)}
    producer.produce(topic, value, key="l", headers={k: v.encode() for k, v in headers.items()})


def batch(producer, run):
    send(producer, "batch", run, 0, f'{{"batch":{{"index":0,"last":true}},"query_params":{{"batch_id":{run}}},"records":[{{"id":1}},{{"id":2}}]}}')


def end(producer, run, n=2, status="completed"):
    send(producer, "run", run, "end", f'{{"n_records":{n},"n_batches":1,"status":"{status}","query_params":{{"batch_id":{run}}},"next_query_params":{{"batch_id":{run + 1}}}}}')


def well(p):
    batch(p, 1), end(p, 1), batch(p, 2), end(p, 2)


def twice(p):
    well(p), batch(p, 2)


def lost_batch(p):
    well(p), end(p, 3)


def lost_run(p):
    batch(p, 2), end(p, 2)


def failed(p):
    well(p), batch(p, 3), end(p, 3, status="failed")


def foreign(p):
    well(p), p.produce("t", b"not ours")


@pytest.mark.parametrize(
    "story, code, told",
    [
        (well, 0, "fired 2, batches 2, records 4, batch_id 1 -> 3, duplicates 0, missing 0"),
        (twice, 1, "fired 2, batches 3, records 6, batch_id 1 -> 3, duplicates 2, missing 0"),
        (lost_batch, 1, "fired 3, batches 2, records 4, batch_id 1 -> 4, duplicates 0, missing 3"),
        (lost_run, 1, "fired 1, batches 1, records 2, batch_id 2 -> 3, duplicates 0, missing 1"),
        (failed, 1, "fired 2, batches 3, records 6, batch_id 1 -> 4, duplicates 0, missing 0"),
        (foreign, 1, "fired 2, batches 2, records 4, batch_id 1 -> 3, duplicates 0, missing 0"),
        (lambda p: None, 1, "fired 0, batches 0, records 0, batch_id ? -> ?, duplicates 0, missing 0"),
    ],
    ids=["well", "twice", "lost-batch", "lost-run", "failed", "foreign", "nothing"],
)
def test_the_subscriber_counts_what_it_read(tmp_path, story, code, told):
    with Sim(tmp_path, "--kafka-brokers", 1, "--topics", "t:1") as sim:
        producer = Producer({"bootstrap.servers": sim.kafka})
        story(producer)
        assert producer.flush(10) == 0
        words = [BUILD / "deploy/reader/demo-reader", "--brokers", sim.kafka, "--topics", "t"]
        reader = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        eventually(lambda: waits_for(reader.pid, signal.SIGTERM), 10, "its signal mask")
        reader.terminate()
        output, _ = reader.communicate(timeout=60)
        assert output.splitlines()[-1] == told and reader.returncode == code


def test_the_packages_it_installs_are_those_that_the_readme_names():
    """All that the bridge is built from, so that no machine with more installed hides one that is missing."""
    words = re.search(r"^packages=\((.*)\)$", (ROOT / "deploy/demo").read_text(), re.M)[1].split()
    readme = re.search(r"^apt-get install (.*)$", (ROOT / "README.md").read_text(), re.M)[1].split()
    assert sorted(words) == sorted(readme)
    built_with = set(re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET (?:lib)?(\w+)", (ROOT / "CMakeLists.txt").read_text()))
    of_package = {"curl": "libcurl4-openssl-dev", "rdkafka": "librdkafka-dev", "config": "libconfig-dev"}
    assert {of_package.get(m, f"lib{m}-dev") for m in built_with} <= set(words)
