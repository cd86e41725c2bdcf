// The status page. It asks `listeners` every two seconds while it is visible and changes what has changed. All that comes
// from the bridge is shown as text (textContent), never as markup. The token stays in this closure.
"use strict";
(() => {
  const EVERY_MS = 2000, TOLD_MS = 8000;
  const STATES = ["failing", "paused", "running", "probing", "waiting", "opening", "stopped", "elsewhere"];
  const $ = (id) => document.getElementById(id);
  const rows = new Map(); // name -> {row, listener, parts}
  let token = null, doc = null, wanted = null, timer = null, skew = 0, lastAnswer = null;

  // ---- words

  const number = new Intl.NumberFormat("en-US");
  const count = (n) => (n === null ? "–" : number.format(n));

  function duration(ms) {
    const s = Math.max(0, Math.round(ms / 1000));
    if (ms < 950) return "less than 1 s";
    if (s < 90) return `${s} s`;
    if (s < 90 * 60) return `${Math.round(s / 60)} min`;
    return s < 36 * 3600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
  }
  const took = (ms) => (ms < 1000 ? `${ms} ms` : ms < 90000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms));
  const now = () => Date.now() + skew; // the bridge's clock
  const ago = (time) => (time ? `${duration(now() - Date.parse(time))} ago` : "not yet");
  const until = (time) => (Date.parse(time) - now() < 950 ? "now" : `in ${duration(Date.parse(time) - now())}`);
  const every = (s) => `every ${s < 90 ? `${s} s` : duration(s * 1000)}`;

  // ---- the document

  function make(tag, className, role) {
    const e = document.createElement(tag);
    if (className) e.className = className;
    if (role) e.setAttribute("role", role);
    return e;
  }
  // What stays as it is, isn't touched: a thousand rows, and a screen reader that shouldn't hear them again.
  function text(e, value) {
    if (e.textContent !== value) e.textContent = value;
  }
  function attribute(e, name, value) {
    if (e.getAttribute(name) !== value) e.setAttribute(name, value);
  }
  function hide(e, hidden) {
    if (e.hidden !== hidden) e.hidden = hidden;
  }

  function cell(row, head, className) {
    const e = make("div", className, "cell");
    if (head) e.dataset.head = head;
    row.append(e);
    return e;
  }
  function part(parent, tag, className) {
    const e = make(tag, className);
    parent.append(e);
    return e;
  }

  function button(parent, label, name, action) {
    const b = part(parent, "button");
    b.type = "button";
    b.textContent = label;
    b.setAttribute("aria-label", `${label} ${name}`);
    b.addEventListener("click", () => action(b));
    return b;
  }

  function makeRow(name) {
    const row = make("div", "row", "row"), p = {};
    row.dataset.name = name;
    const title = cell(row, "", "title");
    p.name = part(title, "span", "name");
    p.where = part(title, "span", "sub");
    p.query = part(title, "span", "sub code clip");
    p.badge = part(cell(row, ""), "span", "badge");
    const poll = cell(row, "Last poll");
    p.last = part(poll, "span");
    p.next = part(poll, "span", "sub");
    p.total = part(cell(row, "Matches", "number"), "span", "big");
    const condition = cell(row, "Condition", "condition");
    p.value = part(condition, "span", "big");
    p.condition = part(condition, "span", "sub code clip");
    const published = cell(row, "Published", "number");
    p.published = part(published, "span", "big");
    p.run = part(published, "span", "sub run");
    p.bar = part(published, "progress");
    p.bar.setAttribute("aria-label", `Progress of the run of ${name}`);
    const commands = cell(row, "", "commands");
    p.toggle = button(commands, "Stop", name, (b) => command(b, name, rows.get(name).listener.stopped ? "start" : "stop"));
    p.trigger = button(commands, "Trigger", name, (b) => command(b, name, "trigger"));
    p.reset = button(commands, "Reset", name, (b) => confirmReset(b, name));
    p.reset.className = "quiet";
    p.error = cell(row, "", "error");
    p.errorText = part(p.error, "span");
    p.errorWhen = part(p.error, "span", "sub");
    return { row, parts: p };
  }

  function showRun(p, l) {
    const run = l.progress, last = l.last_run;
    const total = run && run.total > 0 ? run.total : 0;
    hide(p.bar, !total || l.state !== "running");
    if (total) {
      p.bar.max = total;
      p.bar.value = Math.min(run.matched, total);
    }
    if (run) text(p.run, `run ${run.run}: ${count(run.matched)}${total ? ` of ${count(total)}` : ""}`);
    else if (last) text(p.run, `run ${last.run}${last.status === "failed" ? " failed" : ""}: ${count(last.n_records)} in ${took(last.took_ms)}`);
    else text(p.run, l.run ? `run ${l.run}` : "no run yet");
  }

  function showError(p, l) {
    hide(p.error, !l.error && !l.hold);
    if (!l.error) {
      text(p.errorText, l.hold ?? "");
      text(p.errorWhen, "");
      return;
    }
    text(p.errorText, l.error.text);
    const paused = l.error.class === "auth" ? "Argilla or Kafka refuses its rights. " : "";
    text(p.errorWhen, `${paused}Since ${duration(now() - Date.parse(l.error.since))}; next try ${l.error.next_try ? until(l.error.next_try) : "now"}.`);
  }

  function showRow(entry, l) {
    const p = entry.parts;
    entry.listener = l;
    text(p.name, l.name);
    text(p.where, `${l.workspace} / ${l.dataset}${l.topic ? ` → ${l.topic}` : ""}`);
    text(p.query, l.query ?? "all records");
    attribute(p.query, "title", l.query_params ? `query_params: ${JSON.stringify(l.query_params)}` : "");
    text(p.badge, l.state);
    attribute(p.badge, "class", `badge ${STATES.includes(l.state) ? l.state : ""}`);
    text(p.last, l.state === "elsewhere" ? "–" : ago(l.last_poll));
    attribute(p.last, "title", l.last_poll ?? "");
    text(p.next, l.state === "elsewhere" ? "on another instance" : l.next_poll ? `next ${until(l.next_poll)}` : every(l.interval_s));
    attribute(p.next, "title", `${every(l.interval_s)}${l.next_poll ? `, next ${l.next_poll}` : ""}`);
    text(p.total, count(l.total));
    text(p.value, l.condition === null ? "always" : l.condition_value === null ? "–" : String(l.condition_value));
    text(p.condition, l.condition ?? "");
    attribute(p.condition, "title", l.condition ?? "");
    text(p.published, count(l.counters.published));
    attribute(p.published, "title", `since the start of this process: ${count(l.counters.matched)} matched, ${count(l.counters.unchanged)} unchanged, ${count(l.counters.oversize)} too large, ${count(l.counters.polls)} polls`);
    showRun(p, l);
    showError(p, l);
    const label = l.stopped ? "Start" : "Stop";
    text(p.toggle, label);
    attribute(p.toggle, "aria-label", `${label} ${l.name}`);
  }

  // ---- filters

  function matches(l) {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const haystack = [l.name, l.workspace, l.dataset, l.query, l.topic, l.metrics_topic, l.error?.text].join("\n").toLowerCase();
    return (!wanted || l.state === wanted) && words.every((w) => haystack.includes(w));
  }

  function filter() {
    let shown = 0;
    for (const { row, listener } of rows.values()) {
      const isShown = matches(listener);
      shown += isShown;
      hide(row, !isShown);
    }
    text($("shown"), shown === rows.size ? `${count(rows.size)} listener${rows.size === 1 ? "" : "s"}` : `${count(shown)} of ${count(rows.size)}`);
    hide($("none"), shown > 0);
    text($("none"), rows.size ? "No listener fits the filter." : "The configuration has no listeners.");
  }

  function showStates() {
    const counts = new Map();
    for (const l of doc.listeners) counts.set(l.state, (counts.get(l.state) ?? 0) + 1);
    for (const state of STATES) {
      let b = $("states").querySelector(`[data-state="${state}"]`);
      if (!b) {
        b = part($("states"), "button");
        b.type = "button";
        b.dataset.state = state;
        b.addEventListener("click", () => {
          wanted = wanted === state ? null : state;
          showStates();
          filter();
        });
      }
      hide(b, !counts.get(state) && wanted !== state);
      text(b, `${counts.get(state) ?? 0} ${state}`);
      attribute(b, "aria-pressed", String(wanted === state));
    }
  }

  function showFacts() {
    const facts = [
      ["Instance", doc.instance, ""], ["Group", doc.group_id, ""],
      ["Argilla", doc.argilla.up ? "up" : "down", doc.argilla.up ? "well" : "bad"],
      ["Kafka", doc.kafka.up ? "up" : "down", doc.kafka.up ? "well" : "bad"],
      ["Partitions", `${doc.partitions.owned} of ${doc.partitions.of}, ${doc.partitions.open} in use`, ""],
    ];
    facts.forEach(([name, value, className], i) => {
      let div = $("facts").children[i];
      if (!div) {
        div = part($("facts"), "div");
        part(div, "dt");
        part(div, "dd");
      }
      attribute(div, "class", className);
      text(div.children[0], name);
      text(div.children[1], value);
    });
    attribute($("facts").children[2], "title", doc.argilla.url);
    text($("footer"), `version ${doc.version} · ${doc.config.path}, read ${ago(doc.config.loaded_at)}`);
  }

  function show() {
    const names = new Set(doc.listeners.map((l) => l.name)), isFirst = !rows.size;
    for (const [name, { row }] of rows)
      if (!names.has(name)) {
        row.remove();
        rows.delete(name);
      }
    const fresh = document.createDocumentFragment();
    for (const l of doc.listeners) {
      let entry = rows.get(l.name);
      if (!entry) {
        entry = makeRow(l.name);
        rows.set(l.name, entry);
        fresh.append(entry.row);
      }
      showRow(entry, l);
    }
    $("rows").append(fresh);
    if (!isFirst && !$("rows").contains(document.activeElement)) order();
    showFacts();
    showStates();
    filter();
  }

  // In the order of the configuration, should a reload have changed it.
  function order() {
    let at = $("rows").firstElementChild;
    for (const l of doc.listeners) {
      const row = rows.get(l.name).row;
      if (row === at) at = at.nextElementSibling;
      else $("rows").insertBefore(row, at);
    }
  }

  // ---- asking

  function alarm(message) {
    hide($("alarm"), !message);
    text($("alarm"), message);
    document.body.classList.toggle("stale", !lastAnswer || lastAnswer.failed);
  }

  async function refresh() {
    clearTimeout(timer);
    try {
      const answer = await fetch("listeners", { signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      doc = await answer.json();
      skew = Date.parse(doc.now) - Date.now();
      lastAnswer = { at: Date.now(), failed: false };
      show();
      const reload = doc.config.reload_error;
      alarm(reload ? `The configuration was not reloaded, the old one goes on: ${reload}` : "");
    } catch (e) {
      if (e instanceof TypeError || e.name === "TimeoutError" || /^HTTP /.test(e.message)) {
        lastAnswer = { at: lastAnswer?.at, failed: true };
        alarm(`The bridge does not answer${lastAnswer.at ? ` since ${duration(Date.now() - lastAnswer.at)}` : ""}; what is shown may be old.`);
      } else {
        alarm(`This page failed: ${e.message}`);
        console.error(e);
      }
    }
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, EVERY_MS);
  }

  // ---- commands

  function tell(message, isBad) {
    const p = part($("told"), "p", isBad ? "bad" : "");
    p.textContent = message;
    while ($("told").children.length > 3) $("told").firstElementChild.remove();
    setTimeout(() => p.remove(), TOLD_MS);
  }

  // A dialog's answer: true when it was sent off.
  function ask(dialog, form) {
    return new Promise((resolve) => {
      let answer = false;
      const submit = (e) => {
        e.preventDefault();
        answer = true;
        dialog.close();
      };
      form.addEventListener("submit", submit);
      dialog.addEventListener("close", () => {
        form.removeEventListener("submit", submit);
        resolve(answer);
      }, { once: true });
      dialog.showModal();
    });
  }

  async function haveToken() {
    if (token) return true;
    $("token").value = "";
    const isGiven = await ask($("token-dialog"), $("token-form"));
    const given = isGiven ? $("token").value.trim() : "";
    $("token").value = "";
    if (/[^!-~]/.test(given)) tell("A token has no spaces and no letters beyond ASCII.", true);
    else token = given || null;
    return token !== null;
  }

  const DONE = { start: "started", stop: "stopped", trigger: "polled now", reset: "starts over" };
  const ALREADY = { start: "is not stopped", stop: "is stopped already", trigger: "is polling or running already", reset: "starts over already" };

  function words(name, verb, status, body) {
    if (body.result === "done") return `${name}: ${DONE[verb]}.`;
    if (body.result === "sent") return `${name} belongs to another instance: ${verb} is on its way there.`;
    if (body.result === "already") return `${name} ${ALREADY[verb]}.`;
    return `${name}: ${verb} failed: ${body.error ?? `HTTP ${status}`}`;
  }

  async function command(b, name, verb) {
    if (!(await haveToken())) return;
    b.disabled = true;
    try {
      const answer = await fetch(`listeners/${encodeURIComponent(name)}/${verb}`, {
        method: "POST", headers: { Authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(20000),
      });
      const body = await answer.json().catch(() => ({}));
      if (answer.status === 401 || answer.status === 403) token = null;
      tell(words(name, verb, answer.status, body), !body.result);
    } catch (e) {
      tell(`${name}: ${verb}: ${e.name === "TimeoutError" ? "no answer within 20 s; it may still take effect" : "the bridge does not answer"}.`, true);
    }
    b.disabled = false;
    b.focus();
    refresh();
  }

  async function confirmReset(b, name) {
    $("reset-name").textContent = name;
    if (await ask($("reset-dialog"), $("reset-form"))) await command(b, name, "reset");
  }

  for (const b of document.querySelectorAll("dialog .cancel")) b.addEventListener("click", () => b.closest("dialog").close());
  $("search").addEventListener("input", filter);
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || /^(INPUT|TEXTAREA)$/.test(e.target.tagName)) return;
    e.preventDefault();
    $("search").focus();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  refresh();
})();
