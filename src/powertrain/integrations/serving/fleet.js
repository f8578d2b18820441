/* The page of a fleet: asks for what is known every few seconds, and draws the front of the job that was chosen.
 *
 * The browser asks with the tag of the last answer, so that nothing is sent again as long as nothing has changed.
 * Only what has changed is written, so that a table keeps its place and its focus.
 */
"use strict";

(() => {
  const PERIOD_MS = 3000;
  const PATIENCE_MS = 20000; // for one answer
  const MOST_ROWS = 200; // jobs in the table; of more, some are found by their name
  const SECOND = 1000;
  const at = (id) => document.getElementById(id);
  let fleet = null;
  let aheadMs = 0; // by which the server's clock is ahead of this one
  let shown = null; // the job whose front is drawn: { key, text }
  let view = null; // of PowerTrainFront
  let job = null; // what was last said of it

  // ---- Small words

  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function show(element, isShown) {
    if (element.hidden === isShown) element.hidden = !isShown;
  }

  function counted(n, noun) {
    return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
  }

  const digits = (value, count) => Number(value.toPrecision(count)).toLocaleString("en-US", { maximumSignificantDigits: count });
  const number = (value) => (Number.isFinite(value) ? digits(value, 3) : "–");

  /** A time in words, from seconds on. */
  function duration(ms) {
    const seconds = Math.max(0, Math.round(ms / SECOND));
    if (seconds < 120) return `${seconds} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400).toLocaleString("en-US")} days`;
  }

  const now = () => Date.now() + aheadMs;
  const ago = (time) => (time === null ? "not known" : now() - Date.parse(time) < 2 * SECOND ? "just now" : `${duration(now() - Date.parse(time))} ago`);

  /** "12 % less": the words of `powertrain tune`. */
  const off = (value, unit) => (Number.isFinite(value) ? `${digits(Math.abs(value), 3)} ${unit} ${value >= 0 ? "less" : "more"}` : "–");

  const items = (texts) => texts.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
  const keyOf = ({ device, workload }) => JSON.stringify([device, workload]);

  // ---- Tables

  /** Fill a table: each row has a key, by which its element is found again, and a text for each column. */
  function fill(table, rows) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    let place = body.firstElementChild;
    for (const { key, cells, mark } of rows) {
      const row = known.get(key) ?? made(key, heads);
      known.delete(key);
      cells.forEach((text, i) => say(row.cells[i].firstElementChild ?? row.cells[i], text));
      mark?.(row);
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
    }
    known.forEach((row) => row.remove());
    show(table, rows.length > 0);
  }

  function made(key, heads) {
    const row = document.createElement("tr");
    row.dataset.key = key;
    for (const head of heads) {
      const cell = row.insertCell();
      cell.dataset.label = head.textContent;
      if (head.className) cell.className = head.className;
    }
    return row;
  }

  // ---- The fleet

  function showFleet() {
    const { store, profiles, boards, jobs, runs, remarks, problem, read_at: readAt } = fleet;
    say(at("version"), `PowerTrain ${fleet.version}`);
    document.title = `Fleet in ${store}`;
    say(at("title"), `Fleet in ${store}`);
    const workloads = new Set(jobs.map(({ workload }) => workload)).size;
    say(at("lead"), profiles ? `${counted(profiles, "profile")} of ${counted(workloads, "workload")} on ${counted(boards.length, "board")}.` : "There are no profiles yet. They appear here as soon as a board adds some.");
    const simulated = boards.filter((one) => one.simulated).map(({ device }) => device);
    say(at("simulated"), `Simulated. The profiles of ${simulated.join(", ")} come from formulas.`);
    show(at("simulated"), simulated.length > 0);
    showProblem(problem === null ? "" : `The database cannot be read now: ${problem}. Below is what was known ${ago(readAt)}.`);
    at("remarks").replaceChildren(...items(remarks));
    show(at("remarks"), remarks.length > 0);
    showRuns(runs);
    fill(
      at("boards"),
      boards.map((one) => ({
        key: one.device,
        cells: [one.device, one.workloads.toLocaleString("en-US"), one.profiles.toLocaleString("en-US"), String(one.running), ago(one.seen)],
      })),
    );
    showJobs();
  }

  function showProblem(text) {
    say(at("problem"), text);
    show(at("problem"), text !== "");
  }

  function showRuns(runs) {
    show(at("no-runs"), runs.length === 0);
    fill(
      at("runs"),
      runs.map((one) => ({
        key: keyOf(one),
        cells: [
          one.workload,
          one.device,
          `${one.profiles.toLocaleString("en-US")}${one.or_more ? " or more" : ""}`,
          String(one.flagged),
          number(one.fastest?.time_ms ?? NaN),
          number(one.fastest?.power_w ?? NaN),
          number(one.thriftiest?.energy_j ?? NaN),
          duration(Date.parse(one.seen) - Date.parse(one.began)),
          ago(one.seen),
        ],
      })),
    );
  }

  function showJobs() {
    const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ device, workload }) => words.every((word) => `${workload} ${device}`.toLowerCase().includes(word));
    const found = fleet.jobs.filter(fits).sort((one, other) => other.running - one.running);
    const some = found.slice(0, MOST_ROWS);
    say(at("found"), some.length < found.length ? `the first ${MOST_ROWS} of ${counted(found.length, "job")}` : words.length ? counted(found.length, "job") : "");
    fill(
      at("jobs"),
      some.map((one) => ({
        key: keyOf(one),
        cells: [one.workload, one.device, one.profiles.toLocaleString("en-US"), ago(one.seen)],
        mark: (row) => markJob(row, one),
      })),
    );
  }

  function markJob(row, one) {
    const cell = row.cells[0];
    let button = cell.querySelector("button");
    if (!button) {
      button = Object.assign(document.createElement("button"), { type: "button", className: "choose", textContent: one.workload });
      button.addEventListener("click", () => choose(one, true));
      cell.replaceChildren(button);
    }
    cell.classList.toggle("live", one.running);
    const current = String(shown?.key === keyOf(one));
    if (button.getAttribute("aria-current") !== current) button.setAttribute("aria-current", current);
  }

  // ---- One job

  function wanted() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const [device, workload] = [parts.get("device"), parts.get("workload")];
    return fleet.jobs.find((one) => one.device === device && one.workload === workload);
  }

  function choose(one, byHand) {
    const isNew = shown?.key !== keyOf(one);
    if (byHand) history.replaceState(null, "", `#${new URLSearchParams({ device: one.device, workload: one.workload })}`);
    if (isNew) {
      shown = { key: keyOf(one), device: one.device, workload: one.workload, text: "" };
      job = null;
      view?.destroy();
      view = null;
      show(at("front"), false);
      for (const id of ["saves", "saves-note", "job-problem", "job-remarks"]) show(at(id), false);
      say(at("job-title"), `${one.workload} on ${one.device}`);
      say(at("job-basis"), "Working out the front.");
      show(at("job"), true);
      showJobs();
      askJob();
    }
    if (byHand) {
      at("job-title").focus({ preventScroll: true });
      at("job").scrollIntoView({ block: "start" });
    }
  }

  async function askJob() {
    const asking = shown;
    if (asking === null) return;
    const query = new URLSearchParams({ device: asking.device, workload: asking.workload });
    const answer = await ask(`/api/front?${query}`);
    if (asking !== shown || answer === null) return;
    if (answer.status === 202) {
      setTimeout(() => asking === shown && askJob(), SECOND);
      return;
    }
    if (answer.text === asking.text) return;
    asking.text = answer.text;
    showJob(answer.data);
  }

  function showJob(found) {
    const isDrawn = "front" in found;
    const reason = found.error ?? "";
    say(at("job-problem"), reason);
    show(at("job-problem"), reason !== "");
    if (!isDrawn) {
      say(at("job-basis"), "");
      return;
    }
    job = found;
    const flagged = found.flagged ? ` ${counted(found.flagged, "profile")} ${found.flagged === 1 ? "is" : "are"} flagged and left out.` : "";
    say(at("job-basis"), `${found.basis}${flagged} Drag the power limit to see the ${found.front.goal} under it.`);
    show(at("front"), true);
    if (view === null) view = PowerTrainFront.mount(at("front-view"), found.front);
    else view.update(found.front);
    at("job-remarks").replaceChildren(...items(found.remarks));
    show(at("job-remarks"), found.remarks.length > 0);
    showSaves(view.modes.chosen(view.limit), view.limit);
  }

  function showSaves(row, limit) {
    const isShown = view !== null && job.baselines.length > 0 && row >= 0;
    show(at("saves-note"), isShown);
    show(at("saves"), isShown);
    if (!isShown) return;
    const chosen = view.modes.values(row);
    say(at("saves-title"), `What it saves under ${limit.toFixed(view.decimals)} W, ${job.front.basis}`);
    const less = (value, against) => 100 * (1 - value / against);
    fill(
      at("saves"),
      job.baselines.map((one) => ({
        key: one.name,
        cells: [
          one.name,
          off(less(chosen.time, one.time_ms), "%"),
          off(one.power_w - chosen.power, "W"),
          off(less(chosen.energy, one.energy_j), "%"),
        ],
      })),
    );
  }

  // ---- Asking

  /** Ask the server; null where it does not answer. The browser keeps the last answer, and asks whether it holds. */
  async function ask(path) {
    try {
      const answer = await fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.status === 401) {
        location.reload(); // to the form that asks for the token
        return null;
      }
      const date = Date.parse(answer.headers.get("date"));
      if (path === "/api/fleet" && Number.isFinite(date) && Math.abs(date - Date.now()) > 2 * SECOND) aheadMs = date - Date.now();
      const text = await answer.text();
      return { status: answer.status, text, data: JSON.parse(text) };
    } catch {
      return null;
    }
  }

  async function look() {
    const answer = await ask("/api/fleet");
    if (answer === null || answer.status !== 200) {
      showProblem("The server does not answer. Below is what was last known.");
      return;
    }
    fleet = answer.data;
    showFleet();
    const running = fleet.runs[0];
    const one = wanted() ?? (shown === null ? (running ?? fleet.jobs[0]) : undefined);
    if (one !== undefined && shown?.key !== keyOf(one)) choose(one, false);
    else await askJob();
  }

  async function goOn() {
    // Nobody sees a page in the background.
    if (!document.hidden) await look();
    setTimeout(goOn, PERIOD_MS);
  }

  at("find").addEventListener("input", () => fleet && showJobs());
  at("job").addEventListener("powertrain-limit", (event) => showSaves(event.detail.row, event.detail.limit_w));
  document.addEventListener("visibilitychange", () => document.hidden || look());
  addEventListener("hashchange", () => fleet && wanted() && choose(wanted(), true));
  goOn();
})();
