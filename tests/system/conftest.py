"""Servers for the system tests. They run on their own; when KAFKA_BOOTSTRAP or ARGILLA1_URL say so, those are used, except by
tests that stop or kill a server."""

import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "services"), str(Path(__file__).resolve().parent)]

import harness  # noqa: E402
import servers  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the soaks: ten times the kills, delays and comings and goings")
    parser.addoption("--screenshot", metavar="FILE", help="test_page.py also writes its picture of the status page there")


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures time or memory, and nothing else may run beside it")


@pytest.fixture(scope="session")
def long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory):
    """A broker that a test may kill, pause and fill."""
    with servers.Kafka(tmp_path_factory.mktemp("own-kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def kafka(request):
    """The bootstrap list of a broker that nobody stops."""
    if os.environ.get("KAFKA_BOOTSTRAP"):
        return os.environ["KAFKA_BOOTSTRAP"]
    return request.getfixturevalue("own_kafka").bootstrap


@pytest.fixture(scope="session")
def own_argilla(tmp_path_factory):
    """An Argilla 1.29 that a test may stop and pause."""
    with servers.OpenSearch(tmp_path_factory.mktemp("opensearch")) as opensearch:
        with servers.Argilla1(tmp_path_factory.mktemp("argilla1"), opensearch) as argilla:
            yield argilla


@pytest.fixture(scope="session")
def argilla_url(request):
    """The URL of an Argilla 1.29 that nobody stops."""
    if os.environ.get("ARGILLA1_URL"):
        return os.environ["ARGILLA1_URL"]
    return request.getfixturevalue("own_argilla").url


@pytest.fixture(scope="session")
def argilla(argilla_url):
    return harness.Argilla(argilla_url)
