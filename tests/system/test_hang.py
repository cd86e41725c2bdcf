"""Do datasets that hang delay anybody else? Eight of them, with more listeners than there are workers, beside 200 listeners at 1 s, half
of which publish at each poll. On the simulator, which knows when each request came.

Lateness is against each listener's own grid, taken from the calm seconds before: of a poll, when its request arrives; of a run, when it
is committed. The bound is 100 ms at p99."""

import os
import re
import sys
import threading
import time
from collections import defaultdict

import pytest
from harness import ROOT, Bridge, config

sys.path[:0] = [str(ROOT / "tests/sim")]

from simulator import Sim  # noqa: E402

pytestmark = pytest.mark.alone

N_WELL, N_HANGING, LISTENERS_EACH = 200, 8, 3
CALM_S, HANG_S = 4, 30
BOUND_MS = 100
EARLY_S = 0.01  # before a tick: the grid was taken from late polls, and the log tells times in whole milliseconds
COUNT, SCAN = "TextClassification:search", "records/:search"
TOPICS = "well:8,well.runs:8,hung:8,hung.runs:8,g.state:8"


def listener(name, dataset, topic, condition):
    more = f'condition = "{condition}";' if condition else ""
    return f'name = "{name}"; dataset = "{dataset}"; topic = "{topic}"; execution_interval_in_seconds = 1; {more}'


def well_name(i):
    return f"{'fires' if i % 2 else 'idle'}-{i}"


def listeners(hanging):
    for i in range(N_WELL):
        yield listener(well_name(i), well_name(i), "well", "search.total > 0" if i % 2 else "search.total < 0")
    for i in range(N_HANGING):
        for k in range(LISTENERS_EACH):
            yield listener(f"hang-{i}-{k}", f"hang-{i}", "hung", hanging)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


class Grid:
    """A listener's true period: the earliest of its polls in the calm, modulo a second."""

    def __init__(self, arrivals):
        first = arrivals[0] % 1
        self.phase = first + min((a - first + 0.5) % 1 - 0.5 for a in arrivals)

    def late_ms(self, at):
        late = (at - self.phase) % 1
        return late * 1000 if late < 1 - EARLY_S else 0

    def tick(self, at):
        return int(at - self.phase + EARLY_S)

    def due(self, at):
        return self.tick(at) + self.phase


class Lateness:
    """Of the polls and runs that were due from `start` on, in ms; a tick that was left out counts as a second."""

    def __init__(self, arrivals, runs, calm, start, end):
        self.polls, self.runs, self.left_out = [], [], 0
        for name, grid in calm.items():
            times = [a for a in arrivals[name] if start <= a < end]
            ticks = {grid.tick(a) for a in times}
            missed = grid.tick(end) - grid.tick(start) - len(ticks) - 1
            self.left_out += max(0, missed)
            self.polls += [grid.late_ms(a) for a in times] + [1000] * max(0, missed)
            self.runs += [(ended - grid.due(fired)) * 1000 for fired, ended in runs[name] if start <= fired < end]

    def __str__(self):
        return "; ".join(
            f"{what}: {len(of)}, p50 {percentile(of, 50):.1f} ms, p99 {percentile(of, 99):.1f} ms, max {max(of):.1f} ms"
            for what, of in (("polls", self.polls), ("runs", self.runs))
        ) + f"; ticks left out: {self.left_out}"  # fmt: skip


def seconds_of(text):
    head, ms = re.fullmatch(r"(.*)\.(\d+)Z", text).groups()
    return time.mktime(time.strptime(head + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone + int(ms) / 1000


def arrivals_by_dataset(sim):
    found = defaultdict(list)
    for at, path in sim.control("arrivals"):
        if path.endswith(COUNT):
            found[path.split("/")[3]].append(at / 1e6)
    return found


def runs_by_listener(bridge):
    """When each run was decided on and when it was committed, by the log."""
    offset = time.time() - time.monotonic()
    found = defaultdict(list)
    for e in bridge.seen("run"):
        ended = seconds_of(e["ts"]) - offset
        found[e["listener"]].append((ended - int(e["took_ms"]) / 1000, ended))
    return found


class Pulse:
    """How late this machine wakes a thread that sleeps 5 ms: what nobody can do anything about."""

    def __init__(self):
        self.late_ms, self._ends = [], threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self):
        while not self._ends.is_set():
            due = time.monotonic() + 0.005
            time.sleep(0.005)
            self.late_ms.append((time.monotonic() - due) * 1000)

    def end(self):
        self._ends.set()
        self._thread.join()
        return self.late_ms


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Without a condition nothing is probed: all 24 runs are begun, and each waits for its first page.
@pytest.mark.parametrize("where, condition", [(COUNT, "search.total > 0"), (SCAN, None)], ids=["probe", "scan"])
def test_datasets_that_hang_make_nobody_late(tmp_path, where, condition):
    datasets = [w for i in range(N_WELL) for w in ("--dataset", f"{well_name(i)}:TextClassification:10")]
    datasets += [w for i in range(N_HANGING) for w in ("--dataset", f"hang-{i}:TextClassification:10")]
    with Sim(tmp_path, "--kafka-brokers", 1, "--topics", TOPICS, *datasets) as sim:
        text = config(sim.kafka, sim.url, listeners(condition), group="g", level="info")
        with Bridge(tmp_path / "bridge", text) as bridge:
            bridge.await_event("partition open", n=8)
            for i in range(1, N_WELL, 2):
                bridge.await_event("run", n=2, listener=well_name(i))
            for i in range(N_HANGING):
                bridge.await_event("run", n=1, listener=f"hang-{i}-0")
            sim.control("arrivals", {"record": 1 << 20})
            time.sleep(CALM_S)  # what is measured is a length of time, here and below
            calm = {name: Grid(times) for name, times in arrivals_by_dataset(sim).items() if not name.startswith("hang")}
            assert len(calm) == N_WELL
            pulse = Pulse()
            hung_before, cpu, start = len(bridge.seen("run")), cpu_s(bridge.process.pid), time.monotonic()
            for i in range(N_HANGING):
                sim.fault(where, dataset=f"hang-{i}", delay_ms=HANG_S * 1000)
            time.sleep(HANG_S)
            middle, cpu = time.monotonic(), cpu_s(bridge.process.pid) - cpu
            in_flight = sim.control("stats")["datasets"]
            sim.control("faults", method="DELETE")
            time.sleep(2)
            end, pulse = time.monotonic(), pulse.end()
            arrivals = arrivals_by_dataset(sim)
            n_after = len(bridge.seen("run", listener="hang-0-0"))
            bridge.await_event("run", n=n_after + 1, listener="hang-0-0")  # and it comes back
            assert bridge.stop(20) == 0
        assert hung_before and all(in_flight[f"hang-{i}"]["in_flight"] == 1 for i in range(N_HANGING))
        runs = runs_by_listener(bridge)
        for what, window in (("while they hang", (start, middle)), ("when they are back", (middle, end)), ("all of it", (start, end))):
            lateness = Lateness(arrivals, runs, calm, *window)
            print(f"\n{what}: {lateness}", end="")
        print(f"\nthis machine's timers: p99 {percentile(pulse, 99):.1f} ms, max {max(pulse):.1f} ms; the bridge: {cpu / (middle - start):.0%} of a core")
        assert len(lateness.runs) > 0.9 * len(lateness.polls) / 2
        assert percentile(lateness.polls, 99) < BOUND_MS and percentile(lateness.runs, 99) < BOUND_MS, str(lateness)
