"""The admin interface as its users see it. Each answer is kept, so that a test can search all of them for what none may hold."""

import json

import requests

TOKEN = "token-of-the-tests-0123456789abcdef"


def group(dir, listen="127.0.0.1:0", token=TOKEN):
    """The config's group `admin`, its token in a file of `dir`."""
    dir.mkdir(parents=True, exist_ok=True)
    if token is None:
        return f'admin: {{ listen = "{listen}"; }};\n'
    path = dir / "admin.token"
    path.write_text(token + "\n")
    path.chmod(0o600)
    return f'admin: {{ listen = "{listen}"; token_file = "{path}"; }};\n'


class Admin:
    """Of a bridge that has been started."""

    def __init__(self, bridge, token=TOKEN):
        self.address = bridge.await_event("admin listening")[-1]["address"]
        self.url, self.token, self.answers = f"http://{self.address}", token, []
        self.session = requests.Session()
        self.session.trust_env = False

    @property
    def at(self):
        host, port = self.address.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def call(self, method, path, headers=None, timeout_s=30, **more):
        r = self.session.request(method, self.url + path, headers=headers, timeout=timeout_s, **more)
        self.answers.append(f"{r.status_code} {r.headers}\n{r.text}")
        return r

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def status(self):
        r = self.get("/listeners")
        assert r.status_code == 200, r.text
        return json.loads(r.text)

    def listener(self, name):
        return next(x for x in self.status()["listeners"] if x["name"] == name)

    def command(self, listener, verb, query="", token=...):
        token = self.token if token is ... else token
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return self.call("POST", f"/listeners/{listener}/{verb}{query}", headers=headers)

    def metrics(self):
        """{(name, labels as a sorted tuple): value}, read by Prometheus' own parser."""
        from prometheus_client.parser import text_string_to_metric_families

        r = self.get("/metrics")
        assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        samples = [s for family in text_string_to_metric_families(r.text) for s in family.samples]
        found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
        assert len(found) == len(samples), "a sample twice"
        return found
