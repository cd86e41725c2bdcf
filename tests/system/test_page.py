"""Does the status page, in a real browser, show what the bridge does, carry commands out, say errors in words, and do nothing
that its Content-Security-Policy, the reader's privacy or a small screen would mind?"""

import re

import pytest
from browser import Browser
from faulty_argilla import FaultyArgilla, Slow, Status
from harness import Bridge, config, eventually, name, text_records

import admin

EVIL = '<img src=x onerror="document.title=1"><script>alert(1)</script>'


def listener(name_, dataset, more="", interval="0.5", topic=None):
    return f'''name = "{name_}"; dataset = "{dataset}"; topic = "{topic or name('topic')}";
        execution_interval_in_seconds = {interval}; {more}'''


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


class Page:
    """A bridge and a browser on its page."""

    def __init__(self, dir, kafka, server, listeners, browser=None, **words):
        self.server = server
        words = {"bridge": "state_partitions = 2;", "level": "info", **words}
        self.bridge = Bridge(dir, config(kafka, server.url, listeners, **words) + admin.group(dir / "secrets"))
        self._browser = browser or {}

    def __enter__(self):
        self.bridge.start()
        self.admin = admin.Admin(self.bridge)
        eventually(lambda: self.admin.get("/readyz").status_code == 200, what="ready")
        self.browser = Browser(**self._browser)
        self.browser.open(self.admin.url + "/")
        self.shows("#facts", "Kafka")
        return self

    def __exit__(self, type, *rest):
        try:
            if type is None:
                self.check()
        finally:
            self.browser.close()
            self.bridge.__exit__(type, *rest)

    def check(self, ignored=()):
        """What no page may ever do."""
        self.browser.collect()
        complaints = [e for e in self.browser.console if not any(i in e["message"] for i in ignored)]
        assert complaints == []
        assert self.browser.violations() == []
        outside = [u for u in self.browser.requests if not u.startswith((self.admin.url + "/", "data:", "chrome:", "about:"))]
        assert outside == []
        assert any(u.endswith("/listeners") for u in self.browser.requests), "nothing was watched"

    def shows(self, css, text, timeout_s=15):
        eventually(lambda: text in self.browser.text(css), timeout_s, f"{text!r} in {css}: {self.browser.text(css)!r}")

    def row_shows(self, listener, text, timeout_s=15):
        self.shows(self.browser.row(listener), text, timeout_s)

    def give_token(self, token):
        field = eventually(lambda: [f for f in self.browser.all("#token") if f.is_displayed()], what="the question for the token")[0]
        field.send_keys(token + "\n")

    def n_asked(self, dataset):
        return len(self.server.asked(dataset, "scan"))


@pytest.fixture
def page(kafka, server, tmp_path):
    server.add("reviews", text_records(50, batch=10))
    with Page(tmp_path, kafka, server, [
        listener("reviews-ready", "reviews", 'condition = "search.total > 10"; query = "*";'),
        listener("all-reviews", "reviews", 'publish = "records";'),
        listener("gone", "no-such-dataset"),
    ]) as page:  # fmt: skip
        yield page


def test_it_shows_each_listener_and_what_fails_in_words(page):
    b = page.browser
    assert [r.get_attribute("data-name") for r in b.all("#rows .row")] == ["reviews-ready", "all-reviews", "gone"]
    page.row_shows("all-reviews", "always")
    page.row_shows("gone", "failing")
    page.row_shows("gone", "no dataset no-such-dataset in workspace argilla")
    assert re.search(r"Since .*; next try (in|now)", b.text(b.row("gone") + " .error"))
    page.shows(b.row("all-reviews"), "run ")
    published = page.admin.listener("all-reviews")["counters"]["published"]
    assert published >= 50
    eventually(lambda: int(b.all(b.row("all-reviews") + " .big")[2].text.replace(",", "")) >= published, what="it goes on by itself")
    assert "3 listeners" in b.text("#shown")


def test_filter_and_states(page):
    b = page.browser
    page.row_shows("gone", "failing")
    b.one("#search").send_keys("no-such")
    eventually(lambda: [r.get_attribute("data-name") for r in b.all("#rows .row:not([hidden])")] == ["gone"], what="one row")
    assert "1 of 3" in b.text("#shown")
    b.run("document.getElementById('search').value = ''; document.getElementById('search').dispatchEvent(new Event('input'))")
    b.one('#states [data-state="failing"]').click()
    eventually(lambda: len(b.all("#rows .row:not([hidden])")) == 1, what="the failing one")
    b.one('#states [data-state="failing"]').click()
    eventually(lambda: len(b.all("#rows .row:not([hidden])")) == 3, what="all")
    b.one("#search").send_keys("nothing like it")
    page.shows("#none", "No listener fits")


def test_commands_with_the_token_which_is_asked_for_once(page):
    b = page.browser
    page.row_shows("all-reviews", "Stop")
    b.click("all-reviews", "Stop")
    page.give_token(admin.TOKEN)
    page.shows("#told", "all-reviews: stopped.")
    page.row_shows("all-reviews", "stopped")
    assert page.admin.listener("all-reviews")["state"] == "stopped"
    before = page.n_asked("reviews")
    b.click("all-reviews", "Trigger")
    page.shows("#told", "all-reviews: polled now.")
    eventually(lambda: page.n_asked("reviews") > before, what="a poll of the stopped listener")
    b.click("all-reviews", "Start")
    page.shows("#told", "all-reviews: started.")
    eventually(lambda: page.admin.listener("all-reviews")["state"] != "stopped", what="polls again")
    assert not b.run("return document.getElementById('token-dialog').open")
    assert admin.TOKEN not in b.run("return document.documentElement.outerHTML + JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")


def test_reset_asks_first(page):
    b = page.browser
    page.row_shows("reviews-ready", "Reset")
    b.click("reviews-ready", "Reset")
    page.shows("#reset-dialog", "reviews-ready starts over")
    b.one("#reset-dialog .cancel").click()
    eventually(lambda: not b.run("return document.getElementById('reset-dialog').open"), what="closed")
    b.click("reviews-ready", "Reset")
    b.one("#reset-dialog .danger").click()
    page.give_token(admin.TOKEN)
    page.shows("#told", "reviews-ready: starts over.")
    assert len(page.bridge.seen("listener reset", listener="reviews-ready")) == 1


def test_a_wrong_token_says_so_and_is_asked_for_again(page):
    b = page.browser
    page.row_shows("all-reviews", "Stop")
    b.click("all-reviews", "Stop")
    page.give_token("not-the-token")
    page.shows("#told", "the token is wrong")
    assert page.admin.listener("all-reviews")["state"] != "stopped"
    b.click("all-reviews", "Stop")
    page.give_token(admin.TOKEN)
    page.shows("#told", "all-reviews: stopped.")
    page.check(ignored=("403",))  # the browser's own line about the refusal
    b.console.clear()


def test_a_bridge_that_is_gone_is_said(page):
    page.row_shows("all-reviews", "always")
    page.bridge.stop()
    page.shows("#alarm", "does not answer")
    page.check(ignored=("ERR_CONNECTION_REFUSED",))
    page.browser.console.clear()


def test_markup_in_names_stays_text(kafka, server, tmp_path):
    quoted = EVIL.replace('"', '\\"')
    with Page(tmp_path, kafka, server, [listener("evil", quoted, f'query = "{quoted}";')], workspace="<b>w</b>") as page:
        page.row_shows("evil", EVIL)
        page.row_shows("evil", "failing")
        page.shows(page.browser.row("evil") + " .error", "HTTP 404")
        assert page.browser.all("#rows img, #rows script, #rows b") == []
        assert page.browser.driver.title == "argilla-bridge"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(kafka, server, tmp_path, dark):
    long_word = "a-dataset-whose-name-has-no-end-and-no-place-to-break-it-" * 3
    server.add("reviews", text_records(50, batch=10))
    with Page(tmp_path, kafka, server, [listener("reviews", "reviews"), listener("long", long_word), listener("x" * 150, "reviews")],
              browser={"width": 375, "height": 812, "dark": dark}) as page:  # fmt: skip
        page.row_shows("long", "failing")
        for width in (375, 320, 768, 1200):
            page.browser.resize(width, 812)
            assert page.browser.overflow() <= 0, width
        page.browser.resize(375, 812)
        for button in page.browser.all(page.browser.row("reviews") + " .commands button"):
            assert button.is_displayed() and button.size["height"] >= 40


def test_a_thousand_listeners_are_shown_and_kept_fresh(kafka, server, tmp_path):
    server.add("reviews", text_records(50, batch=10))
    more = 'condition = "search.total < 0";'
    with Page(tmp_path, kafka, server, [listener(f"reviews-{i:04}", "reviews", more, "5", "topic") for i in range(1000)]) as page:
        b = page.browser
        eventually(lambda: len(b.all("#rows .row")) == 1000, 30, "a thousand rows")
        eventually(lambda: "waiting" in b.run("return document.querySelector(arguments[0]).textContent", b.row("reviews-0999")), 60, "the last one polls")
        took = b.run("""const start = performance.now(); document.getElementById('search').dispatchEvent(new Event('input'));
                        document.body.offsetHeight; return performance.now() - start""")
        assert took < 500, f"filtering takes {took} ms"
        first = b.run("return document.querySelector('#rows .row')")
        polls = page.admin.listener("reviews-0000")["counters"]["polls"]
        eventually(lambda: page.admin.listener("reviews-0000")["counters"]["polls"] > polls, what="another poll")
        assert b.run("return document.querySelector('#rows .row')") == first, "rows are made anew"


def test_the_picture_of_it(kafka, server, tmp_path, request, monkeypatch):
    """With realistic listeners in each state; `--screenshot docs/status-page.png` keeps it for the README."""
    monkeypatch.chdir(tmp_path)
    matching = FaultyArgilla._matching  # any query will do here
    monkeypatch.setattr(FaultyArgilla, "_matching",
                        staticmethod(lambda d, q: matching(d, q if q and re.fullmatch(r"metadata\.\w+:\w+", q) else None)))
    server.add("uber-reviews", text_records(1240, batch=620), metrics={"F1": {"f1_macro": 0.91}})
    server.add("support-tickets", text_records(4000, batch=4000))
    server.add("contracts", text_records(312, batch=78))
    server.add("toxicity", text_records(90))
    server.add("intents", text_records(60))
    server.fault("support-tickets", "scan", Slow(4), after=3, times=None)
    server.fault("toxicity", "count", Status(503), times=None)
    pages = [
        listener("reviews-ready", "uber-reviews", '''query = "metadata.batch_id:{batch_id}"; query_params: { batch_id = 0; };
            condition = "search.total >= 10 and metrics.F1.f1_macro > 0.8"; metrics = [ "F1" ];
            update_query_params = "ctx.query_params[\\"batch_id\\"] += 1";''', "2", "argilla.team.uber-reviews"),
        listener("tickets-to-train", "support-tickets", 'query = "status:Validated OR status:Default"; publish = "records"; condition = "search.total > 1000";', "60", name("tickets")),
        listener("contracts-changed", "contracts", '''query = "annotated_as:*";
            condition = "previous == null or search.total != previous.search.total";''', "10", name("contracts")),
        listener("toxicity-drift", "toxicity", 'query = "score:[0.9 TO *]"; condition = "search.total > 50";', "15", name("toxicity")),
        listener("intents-nightly", "intents", 'publish = "records";', "86400", name("intents")),
        listener("survey-2025", "survey-2025", 'query = "status:Validated"; condition = "search.total > 0";', "30", name("survey")),
    ]  # fmt: skip
    page = Page(tmp_path, kafka, server, pages, browser={"width": 1200, "height": 690}, workspace="team",
                bridge='state_partitions = 8; instance_id = "host-1";', group=name("argilla-bridge"))  # fmt: skip
    page.bridge.path = (tmp_path / "bridge.cfg").relative_to(tmp_path)
    with page:
        assert page.admin.command("intents-nightly", "stop").status_code in (200, 409)
        for word, who in (("stopped", "intents-nightly"), ("running", "tickets-to-train"), ("failing", "toxicity-drift"),
                          ("failing", "survey-2025"), ("false", "contracts-changed"), ("false", "reviews-ready")):  # fmt: skip
            page.row_shows(who, word, 30)
        file = request.config.getoption("--screenshot")
        if file:
            # without what makes names unique between tests
            page.browser.run("""for (const e of document.querySelectorAll('dd, .sub, .error span'))
                e.textContent = e.textContent.replace(/-[0-9a-f]{8}\\b/g, '')""")
            page.browser.screenshot(request.config.invocation_params.dir / file)
            page.browser.resize(375, 900)
            page.browser.screenshot(tmp_path / "phone.png")
            page.browser.resize(1200, 690)
            page.browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
            page.browser.click("tickets-to-train", "Stop")
            page.browser.screenshot(tmp_path / "dark.png")
