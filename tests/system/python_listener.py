"""A listener of Argilla's guide in Python, the real thing: argilla[listeners] 1.29.1, in the environment of
tests/services/venv-listener. It is what test_guide.py compares the bridge with.

    python python_listener.py URL KEY WORKSPACE DATASET LISTENER

One listener a process: several in one share a scheduler, and each of their runs then happens once per listener. Tells what happens
as JSON lines: {"fired": ...} for each call of the function, {"held": false, "total": ...} for a condition that did not hold.
Runs until it is killed.
"""

import json
import sys

import argilla as rg
from argilla.listeners import Metrics, listener

# The real period is 2 * (this - 1) seconds, and nothing happens before the first has passed.
INTERVAL_S = 2

url, key, workspace, dataset, name = sys.argv[1:]


def tell(**what):
    print(json.dumps(what), flush=True)


def plain(value):
    """Metrics are objects with attributes."""
    return {k: plain(v) for k, v in vars(value).items()} if isinstance(value, Metrics) else value


def tell_fired(ctx, records=None):
    tell(
        fired={
            "ids": None if records is None else [r.id for r in records],
            "total": ctx.search and ctx.search.total,
            "metrics": plain(ctx.metrics),
            "query_params": dict(ctx.query_params),
            "query": ctx.query,
            "dataset": ctx.dataset,
        }
    )


def told(condition):
    """The condition, which also tells when it doesn't hold."""

    def evaluate(search):
        holds = condition(search)
        if not holds:
            tell(held=False, total=search.total, query_params=search.query_params)
        return holds

    return evaluate


def basic():
    @listener(dataset=dataset, query="status:Validated", execution_interval_in_seconds=INTERVAL_S)
    def update(records, ctx):
        tell_fired(ctx, records)

    return update


def exactly_ten():
    @listener(dataset=dataset, condition=told(lambda search: search.total == 10), execution_interval_in_seconds=INTERVAL_S)
    def update(records, ctx):
        tell_fired(ctx, records)

    return update


def more_than_ten():
    @listener(dataset=dataset, condition=told(lambda search: search.total > 10), execution_interval_in_seconds=INTERVAL_S)
    def update(records, ctx):
        tell_fired(ctx, records)

    return update


def batches():
    @listener(
        dataset=dataset,
        query="metadata.batch_id:{batch_id}",
        batch_id=0,
        condition=told(lambda search: search.total > 0),
        execution_interval_in_seconds=INTERVAL_S,
    )
    def update(records, ctx):
        tell_fired(ctx, records)
        ctx.query_params["batch_id"] += 1

    return update


def metrics():
    @listener(dataset=dataset, metrics=["F1"], execution_interval_in_seconds=INTERVAL_S)
    def update(records, ctx):
        tell_fired(ctx, records)

    return update


def without_records():
    # with_records: the guide's query_records is taken for a query param, and the call dies of a TypeError
    @listener(
        dataset=dataset, condition=told(lambda search: search.total > 0), with_records=False,
        execution_interval_in_seconds=INTERVAL_S,
    )  # fmt: skip
    def update(ctx):
        tell_fired(ctx)

    return update


listeners = {
    "basic": basic, "exactly-ten": exactly_ten, "more-than-ten": more_than_ten,
    "batches": batches, "metrics": metrics, "without-records": without_records,
}  # fmt: skip

rg.init(api_url=url, api_key=key, workspace=workspace)
listeners[name]().start()
