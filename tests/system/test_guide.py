"""Does deploy/examples/guide.cfg, with each listener of Argilla's guide, do what the guide's Python listeners do on the same data?

guide.cfg runs as it stands, but for names: see `guide_config`. The data come in two steps (ten records in batches 0 to 2, then
fifteen more in batch 3), and after each step what the bridge published is compared with what the real Python listeners were called
with."""

import json
import subprocess
import threading

import pytest
from harness import ROOT, Bridge, Reader, eventually, name, text_records

LISTENERS = ["basic", "exactly-ten", "more-than-ten", "batches", "metrics", "without-records"]
KEY = "argilla.apikey"


def guide_config(kafka, argilla_url, dataset, group):
    """guide.cfg with other servers and another workspace; `uber-reviews` is replaced in the dataset's name and those of the topics;
    the group and JSON logs are added."""
    text = (ROOT / "deploy/examples/guide.cfg").read_text()
    for old, new in [
        ("http://localhost:6900", argilla_url), ("localhost:9092", kafka), ('workspace = "team"', 'workspace = "argilla"'),
        ('"uber-reviews', f'"{dataset}'),
    ]:  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    return text + f'\nbridge: {{ group_id = "{group}"; }}; log: {{ level = "debug"; format = "json"; }};\n'


class PythonListener:
    """One process of python_listener.py; `lines` is what it has told."""

    def __init__(self, python, url, dataset, listener):
        script = ROOT / "tests/system/python_listener.py"
        self.process = subprocess.Popen(
            [python, script, url, KEY, "argilla", dataset, listener],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.name, self.lines, self.output = listener, [], []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def told(self, n):
        """Waits until it has told n things, and returns the last."""

        def look():
            assert self.process.poll() is None and "Traceback" not in "".join(self.output), "".join(self.output)
            return len(self.lines) >= n

        eventually(look, 90, f"{n} things told by Python's {self.name}")
        return self.lines[-1]

    def fired(self):
        return [line["fired"] for line in list(self.lines) if "fired" in line]

    def close(self):
        self.process.kill()
        self.process.wait()
        self._thread.join(5)


class Story:
    """Both steps, played once: `bridge` and `python` hold what each listener found at the end of each step."""

    def __init__(self, kafka, argilla, dir):
        self.argilla, self.dir, self.dataset = argilla, dir, argilla.create(name("guide"))
        self.text = guide_config(kafka, argilla.url, self.dataset, name("group"))
        self.records, self.bridge, self.python, self.n_runs = [], [], [], dict.fromkeys(LISTENERS, 0)
        self.reader = Reader(kafka, *(f"{self.dataset}.{listener}{end}" for listener in LISTENERS for end in ("", ".runs")))

    def add(self, batch_ids):
        new = text_records(len(batch_ids), start=sum(map(len, self.records)))
        for record, batch_id in zip(new, batch_ids, strict=True):
            record["metadata"]["batch_id"] = batch_id
        self.argilla.bulk(self.dataset, new)
        self.records.append(new)

    def runs(self, listener):
        """Its runs in order: the run message, with `ids` of the records in its batches and the batches' contexts."""
        found = []
        for run in self.reader.of("run", ce_argillalistener=listener):
            batches = self.reader.of("batch", ce_argillalistener=listener, ce_argillarun=run.headers["ce_argillarun"])
            found.append({**run.value, "ids": [r["id"] for b in batches for r in b.value["records"]], "batches": [b.value for b in batches]})
        return found

    def play_bridge(self, silent):
        """Runs the bridge until each listener has fired, but `silent`, which polls."""
        with Bridge(self.dir, self.text) as bridge:
            expected = {listener: self.n_runs[listener] + 1 for listener in LISTENERS if listener != silent}
            self.reader.until(lambda _: all(len(self.runs(listener)) >= n for listener, n in expected.items()))
            poll = bridge.await_event("poll", listener=silent)[0]
            assert poll["fired"] == "false"
            assert bridge.stop() == 0
        self.reader.to_end()
        assert len(self.runs(silent)) == self.n_runs[silent]
        self.n_runs = {listener: len(self.runs(listener)) for listener in LISTENERS}
        self.bridge.append({listener: self.runs(listener)[-1] for listener in expected} | {silent: {"held": False, "total": poll["total"]}})

    def go_on_with_batches(self, n):
        """The same config, one run at a time: params go on from where the service was."""
        for _ in range(n):
            done = Bridge(self.dir, self.text).command("once", "batches")
            assert done.returncode == 0, done.stderr
        self.reader.until(lambda _: len(self.runs("batches")) == self.n_runs["batches"] + n)
        self.n_runs["batches"] += n

    def play_python(self, processes, n_fired):
        """The second thing that each tells from now on: the first may have begun before now. Batches fires once for each batch."""
        before = {p.name: len(p.lines) for p in processes}
        found = {p.name: p.told(before[p.name] + 2) for p in processes if p.name != "batches"}
        batches = next(p for p in processes if p.name == "batches")
        eventually(lambda: len(batches.fired()) >= n_fired and batches.told(before["batches"] + 2), 90, "Python's batches")
        self.python.append({listener: line.get("fired", line) for listener, line in found.items()})
        self.python_batches = batches.fired()


@pytest.fixture(scope="module")
def story(kafka, argilla, tmp_path_factory):
    script = ROOT / "tests/services/venv-listener"  # makes the environment if need be
    venv = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True, timeout=900).stdout.strip()
    story, processes = Story(kafka, argilla, tmp_path_factory.mktemp("guide")), []
    try:
        story.add([0] * 4 + [1] * 3 + [2] * 3)
        story.play_bridge(silent="more-than-ten")
        story.go_on_with_batches(2)
        processes = [PythonListener(f"{venv}/bin/python", argilla.url, story.dataset, listener) for listener in LISTENERS]
        story.play_python(processes, n_fired=3)
        story.add([3] * 15)
        story.play_bridge(silent="exactly-ten")
        story.play_python(processes, n_fired=4)
    finally:
        for process in processes:
            process.close()
        story.reader.close()
    return story


STEPS = {"ten-records": 0, "twenty-five-records": 1}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("listener", [x for x in LISTENERS if x != "batches"])
def test_listener_finds_what_its_python_listener_finds(story, listener, step):
    ours, theirs = story.bridge[step][listener], story.python[step][listener]
    assert ("held" in ours) == ("held" in theirs)
    if "held" in ours:
        assert ours["total"] == theirs["total"] == (10, 25)[step]
        return
    assert ours["status"] == "completed"
    assert sorted(ours["ids"]) == sorted(theirs["ids"] or [])
    assert ours["n_records"] == len(ours["ids"])
    if theirs["total"] is not None:  # Python asks for it only where there is a condition
        assert ours["search"]["total"] == theirs["total"]
    for name in ("metrics", "query_params", "query", "dataset"):
        assert ours[name] == theirs[name]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_each_message_says_what_is_in_the_dataset(story, step):
    """The same against the data themselves, so that both can't be wrong alike."""
    found, records = story.bridge[step], [r for added in story.records[: step + 1] for r in added]
    everything = [r["id"] for r in records]
    assert sorted(found["basic"]["ids"]) == [r["id"] for r in records if "annotation" in r]
    assert found["basic"]["search"] is None
    firing = ("exactly-ten", "more-than-ten")[step]
    for listener in (firing, "metrics"):
        assert sorted(found[listener]["ids"]) == everything
        assert found[listener]["search"] == {"total": len(everything)}
        assert found[listener]["batches"][-1]["batch"]["last"] is True
    assert found["metrics"]["metrics"]["F1"]["f1_macro"] > 0
    assert [b["metrics"] for b in found["metrics"]["batches"]] == [found["metrics"]["metrics"]]
    assert found["without-records"]["search"] == {"total": len(everything)}
    assert found["without-records"]["batches"] == [] and found["without-records"]["n_records"] == 0


def test_params_go_through_the_same_batches(story):
    ours = story.runs("batches")
    assert [run["query_params"]["batch_id"] for run in ours] == [0, 1, 2, 3]
    assert [run["query"] for run in ours] == [f"metadata.batch_id:{i}" for i in range(4)]
    assert [run["next_query_params"]["batch_id"] for run in ours] == [1, 2, 3, 4]
    assert [run["search"]["total"] for run in ours] == [4, 3, 3, 15]
    assert [run["run"] for run in ours] == [1, 2, 3, 4]
    theirs = story.python_batches
    assert [run["query_params"] for run in ours] == [call["query_params"] for call in theirs]
    assert [run["search"]["total"] for run in ours] == [call["total"] for call in theirs]
    assert [sorted(run["ids"]) for run in ours] == [sorted(call["ids"]) for call in theirs]
