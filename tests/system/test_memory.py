"""Is memory bounded when more listeners fire than can be served at once? On the simulator."""

import sys
from pathlib import Path

import pytest
from harness import ROOT, Bridge, config, eventually

sys.path[:0] = [str(ROOT / "tests/sim")]

from simulator import Sim  # noqa: E402

pytestmark = pytest.mark.alone

N_LISTENERS, N_DATASETS, N_RECORDS, RECORD_BYTES, PAGE = 120, 40, 600, 8192, 200
BOUND_MIB = 160  # 32 runs with two pages of 1.6 MiB each, and the rest; without a limit on runs it is 120 of them


def peak_mib(pid):
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def test_a_hundred_runs_at_once_hold_the_pages_of_a_few(tmp_path):
    listeners = [
        f'name = "l{i}"; dataset = "d{i % N_DATASETS}"; topic = "t"; page_size = {PAGE}; execution_interval_in_seconds = 600;' for i in range(N_LISTENERS)
    ]
    datasets = [word for i in range(N_DATASETS) for word in ("--dataset", f"d{i}:TextClassification:{N_RECORDS}:{RECORD_BYTES}:100")]
    with Sim(tmp_path, "--kafka-brokers", 1, "--topics", "t:4,t.runs:1,g.state:8", *datasets) as sim:
        text = config(sim.kafka, sim.url, listeners, group="g", level="info", argilla="max_connections = 64;")
        with Bridge(tmp_path / "bridge", text) as bridge:
            eventually(lambda: len({e["listener"] for e in bridge.seen("run")}) == N_LISTENERS or bridge._assert_lives(), 120, "all runs")
            assert all(e["n_records"] == N_RECORDS for e in bridge.seen("run"))
            print(f"peak {peak_mib(bridge.process.pid):.0f} MiB")
            assert peak_mib(bridge.process.pid) < BOUND_MIB
            assert bridge.stop() == 0
