"""What does `argilla-bridge check` say, and with which exit status, without any server being asked?

The same files and texts as tests/unit/test_app_config_files.c, but through the real binary.
"""

import os
import socket
import subprocess

import pytest

from harness import BINARY, ROOT, WRAPPER

CONFIGS = ROOT / "tests" / "config"
EXAMPLES = ROOT / "deploy" / "examples"
OK, CONFIG = 0, 3
SECRET = "SECRET"  # every secret of these files holds it


def bridge(*words, cwd=CONFIGS, stdin=None):
    env = {**os.environ, "ARGILLA_API_KEY": SECRET + "-environment"}
    env.pop("AB_TEST_NOT_SET", None)
    return subprocess.run(
        [*WRAPPER, str(BINARY), *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False,
        **({"input": stdin} if stdin else {"stdin": subprocess.DEVNULL}),
    )


def names(folder):
    files = sorted(f.name for f in (CONFIGS / folder).glob("*.cfg"))
    assert files, folder
    return files


@pytest.mark.parametrize("name", names("bad"))
def test_a_bad_config_is_refused_with_every_mistake(name):
    done = bridge("check", "-c", f"bad/{name}")
    assert done.stderr == (CONFIGS / "bad" / name).with_suffix(".expected").read_text()
    assert done.stdout == ""
    assert done.returncode == CONFIG


@pytest.mark.parametrize("name", names("good"))
def test_a_good_config_passes_with_its_warnings(name):
    done = bridge("check", "-c", f"good/{name}")
    assert done.stderr == (CONFIGS / "good" / name).with_suffix(".expected").read_text()
    assert f"good/{name}: ok" in done.stdout
    assert SECRET not in done.stdout
    assert done.returncode == OK


@pytest.mark.parametrize("name", sorted(f.name for f in EXAMPLES.glob("*.cfg")))
def test_the_examples_are_valid(name):
    done = bridge("check", "-c", name, cwd=EXAMPLES)
    assert (done.returncode, done.stderr) == (OK, "")


def config(kafka="", broker="localhost:9092", argilla="http://localhost:6900"):
    return f"""
argilla: {{ url = "{argilla}"; workspace = "team"; }};
kafka: {{ bootstrap_servers = "{broker}"; {kafka} }};
listeners: ( {{ dataset = "uber-reviews"; }} );
"""


def test_what_librdkafka_judges_only_when_a_handle_is_made_is_told(tmp_path):
    (tmp_path / "a.cfg").write_text(config(kafka="producer: { acks = 1; };"))
    done = bridge("check", "-c", "a.cfg", cwd=tmp_path)
    assert done.returncode == CONFIG
    assert "acks" in done.stderr and "idempotence" in done.stderr


def test_no_server_is_asked(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as kafka, socket.create_server(("127.0.0.1", 0)) as argilla:
        (tmp_path / "a.cfg").write_text(config(
            broker=f"127.0.0.1:{kafka.getsockname()[1]}", argilla=f"http://127.0.0.1:{argilla.getsockname()[1]}"))
        assert bridge("check", "-c", "a.cfg", cwd=tmp_path).returncode == OK
        for server in (kafka, argilla):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):  # nobody has connected
                server.accept()


def test_a_config_may_come_through_a_pipe():
    done = bridge("check", "-c", "/dev/stdin", stdin=config())
    assert (done.returncode, done.stderr) == (OK, "")


def test_a_missing_file_is_a_configuration_error(tmp_path):
    done = bridge("check", "-c", "none.cfg", cwd=tmp_path)
    assert done.returncode == CONFIG
    assert done.stderr == "none.cfg: error: No such file or directory\n"


def test_the_reference_in_the_docs_is_what_the_binary_prints():
    begin, end = "<!-- generated: argilla-bridge config-reference -->\n", "<!-- end -->\n"
    text = (ROOT / "docs" / "configuration.md").read_text()
    done = bridge("config-reference")
    assert done.returncode == OK
    assert text.split(begin)[1].split(end)[0] == done.stdout
