"""Holds a list of messages to what the bridge promises: per listener runs follow each other without gaps, and per run each batch
and each record is there exactly once, under one total, closed by exactly one run message. (What deliver = changes promises besides: changes_ledger.py.)

The messages are a read_committed reader's (harness.Reader), all of them from the start of the listeners' topics.
"""

from collections import defaultdict
from itertools import pairwise


class Run:
    """What was published of one run of one listener, in the order of its partition."""

    def __init__(self, listener, number):
        self.listener, self.number = listener, number
        self.batches, self.records, self.gone, self.ends = [], [], [], []

    def __repr__(self):
        return f"{self.listener} run {self.number}"

    @property
    def end(self):
        return self.ends[0].value if self.ends else None

    @property
    def is_complete(self):
        return bool(self.ends)

    @property
    def ids(self):
        return [r["id"] for m in self.batches for r in m.value["records"]] + [m.value["id"] for m in self.records]

    @property
    def query_params(self):
        """None when only records have come by now: they don't tell."""
        told = self.ends or self.batches
        return told[0].value["query_params"] if told else None

    def check(self):
        """Holds for a run in progress too."""
        assert len(self.ends) <= 1, f"{self}: {len(self.ends)} run messages"
        index = [m.value["batch"]["index"] for m in self.batches]
        assert index == list(range(len(index))), f"{self}: batches {index}"
        ids = self.ids
        assert len(ids) == len(set(ids)), f"{self}: twice: {sorted(i for i in set(ids) if ids.count(i) > 1)[:10]}"
        asked = {repr((m.value["search"], m.value["query"], m.value["query_params"])) for m in self.batches + self.ends}
        assert len(asked) <= 1, f"{self}: more than one total or query: {asked}"
        if self.is_complete:
            self._check_complete(ids)

    def _check_complete(self, ids):
        end = self.end
        assert end["status"] == "completed", f"{self}: {end['status']}: {end.get('error')}"
        last = [m.value["batch"]["last"] for m in self.batches]
        assert not last or (last[-1] and last.count(True) == 1), f"{self}: `last` is {last}"
        assert end["n_records"] == len(ids), f"{self}: n_records {end['n_records']}, {len(ids)} records are there"
        assert end["n_batches"] == len(self.batches), f"{self}: n_batches {end['n_batches']} of {len(self.batches)}"
        assert end["n_matched"] == end["n_records"] + end["n_unchanged"] + end["n_oversize"], f"{self}: {end}"
        gone = {type: sum(m.type == f"record.{type}" for m in self.gone) for type in ("deleted", "removed")}
        assert gone == {"deleted": end["n_deleted"], "removed": end["n_removed"]}, f"{self}: {end}, tombstones {gone}"


class Ledger:
    def __init__(self, messages):
        self.listeners = defaultdict(dict)  # name → number → Run
        self.ce_ids = []
        for m in sorted(messages, key=lambda m: (m.topic, m.partition, m.offset)):
            self._add(m)

    def _add(self, m):
        listener, number = m.headers["ce_argillalistener"], int(m.headers["ce_argillarun"])
        run = self.listeners[listener].setdefault(number, Run(listener, number))
        kinds = {"batch": run.batches, "record": run.records, "record.deleted": run.gone, "record.removed": run.gone, "run": run.ends}
        kinds[m.type].append(m)
        self.ce_ids.append(m.headers["ce_id"])

    def runs(self, listener):
        return [run for _, run in sorted(self.listeners[listener].items())]

    def complete(self, listener):
        return [run for run in self.runs(listener) if run.is_complete]

    def check(self):
        """All promises at once; only a listener's last run may be unfinished."""
        assert len(self.ce_ids) == len(set(self.ce_ids)), "a ce_id is there twice"
        for listener in self.listeners:
            self._check_listener(listener)
        return self

    def _check_listener(self, listener):
        runs = self.runs(listener)
        numbers = [run.number for run in runs]
        assert numbers == list(range(1, len(runs) + 1)), f"{listener}: runs {numbers}"
        for run in runs:
            run.check()
            assert run.is_complete or run is runs[-1], f"{run} has no end, and another one follows"
        for before, after in pairwise(runs):
            assert after.query_params in (None, before.end["next_query_params"]), f"{after}: params don't follow from {before}"
        for kind in ("batches", "ends"):  # a subscriber of one partition sees runs, and their batches, in their order
            order = [m.offset for run in runs for m in getattr(run, kind)]
            assert len({m.partition for run in runs for m in getattr(run, kind)}) > 1 or order == sorted(order), listener
