/* The interactive front: all modes by time and power, a power limit to drag, and the mode chosen under it.
 *
 * It draws what `front_json` gathers and needs nothing else, no library and no network. The report mounts one view
 * for each element with `data-front`, which names the element that holds the JSON. A page with live data does the
 * same by hand:
 *
 *     const view = PowerTrainFront.mount(element, data);
 *     element.addEventListener("powertrain-limit", (event) => event.detail.mode);
 *     view.setLimit(25);
 *     view.update(newerData);
 *
 * Three layers lie over each other. The canvas `cloud` holds what changes only with the size or the colours. The
 * element `shade` dims what is above the limit, and is only moved. The canvas `marks` holds the choice and the
 * point that somebody looks at. So a frame of a drag draws a few marks and never the 18,096 modes.
 */
"use strict";

(() => {
  const MARGIN = { left: 46, right: 14, top: 14, bottom: 42 };
  const PICK_RADIUS = 24; // pixels between a pointer and the mode that it picks
  const MARK_RADIUS = 9; // within which a marked point is picked before a mode of the cloud
  const GRAB_RADIUS = 9; // within which a mouse takes hold of the limit
  const MOST_AVOIDED = 200; // measured points that labels keep clear of
  const QUIET_MS = 500; // after which a new choice is read out
  const Z90 = 1.6448536269514722; // half-width of a central 90 % interval, in standard deviations
  let views = 0;

  // ---- Small words -------------------------------------------------------------------------------------------

  /** Make an element; attributes that start with "on" are listeners. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /** Set a text only where it changed: anything else costs a layout. */
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  /** Write a number with three digits, as `format_number` does. */
  function format(value, digits = 3) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return value.toFixed(digits - 1);
    const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
    if (exponent < -4) return value.toPrecision(digits);
    const [whole, part] = value.toFixed(Math.max(0, digits - 1 - exponent)).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return part === undefined ? grouped : `${grouped}.${part}`;
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  /** Read a column that Python wrote as little-endian numbers in base64. */
  function column(text, Kind) {
    const bytes = atob(text);
    const buffer = new Uint8Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) buffer[i] = bytes.charCodeAt(i);
    return new Kind(buffer.buffer);
  }

  /** Return about `count` round numbers within `low` to `high`. */
  function evenTicks(low, high, count) {
    const raw = (high - low) / count || 1;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((one) => one >= raw * (1 - 1e-9));
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k++) ticks.push(k * step);
    return ticks;
  }

  /** The same on a logarithmic axis: parts of each power of ten over a wide range, even steps over a narrow one. */
  function logTicks(low, high) {
    if (high / low <= 8) return evenTicks(low, high, 5);
    let ticks = [];
    for (const factors of [[1], [1, 2, 5], [1, 2, 3, 5, 7]]) {
      ticks = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
        for (const factor of factors) ticks.push(factor * 10 ** e);
      ticks = ticks.filter((tick) => tick >= low && tick <= high);
      if (ticks.length >= 4) break;
    }
    return ticks;
  }

  const plain = (tick) => String(Number(tick.toPrecision(10))).replace(/\B(?=(\d{3})+$)/g, ",");

  // ---- What is known of the modes ------------------------------------------------------------------------------

  /** The numbers of `front_json`, unpacked. Time is in ms, power in W, energy in J. */
  class Modes {
    constructor(data) {
      this.data = data;
      this.n = data.n;
      this.time = column(data.time_ms, Float32Array);
      this.power = column(data.power_w, Float32Array);
      this.sd = {};
      for (const name of ["time", "power", "energy"]) {
        const text = data[`${name}_sd`];
        this.sd[name] = text === null ? null : column(text, Float32Array);
      }
      this.knobs = data.knobs.map(({ name, values, at }) => ({
        name,
        values,
        at: column(at, values.length <= 256 ? Uint8Array : Uint16Array),
      }));
      // Rows count modes; the points after them are the measured profiles and the modes with a name.
      this.points = [
        ...data.measured.map((one) => ({ kind: "measured", ...one })),
        ...data.named.map((one) => ({ kind: "named", ...one })),
      ];
      const isTrue = data.true_time_ms !== null;
      this.trueTime = isTrue ? column(data.true_time_ms, Float32Array) : null;
      this.truePower = isTrue ? column(data.true_power_w, Float32Array) : null;
    }

    /** The row chosen under a limit, -1 where no mode keeps it. Which one was worked out in Python. */
    chosen(limit) {
      const { limits_w: limits, rows } = this.data.steps;
      let low = 0;
      let high = limits.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (limits[middle] <= limit) low = middle + 1;
        else high = middle;
      }
      return low ? rows[low - 1] : -1;
    }

    /** The text of a mode, as `str(mode)` writes it in Python. */
    text(row) {
      return this.knobs.map(({ name, values, at }) => `${name}=${values[at[row]]}`).join(" ");
    }

    values(row) {
      const [time, power] = [this.time[row], this.power[row]];
      return { time, power, energy: this.energy(time, power) };
    }

    energy(time, power) {
      return time * power * this.data.energy_factor;
    }

    /** The ends of the central 90 % interval around a value, or nothing. */
    interval(row, name) {
      const sd = this.sd[name]?.[row];
      if (!Number.isFinite(sd)) return null;
      const value = this.values(row)[name];
      return [value * Math.exp(-Z90 * sd), value * Math.exp(Z90 * sd)];
    }

    /** What a spot is, in words: `spot` is a row, or n plus the place of a point. */
    about(spot) {
      if (spot < this.n) {
        return { kind: this.data.basis, mode: this.text(spot), ...this.values(spot) };
      }
      const { kind, mode = "", name = "", time_ms: time, power_w: power } = this.points[spot - this.n];
      return { kind: kind === "named" ? name : kind, mode, time, power, energy: this.energy(time, power) };
    }

    place(spot) {
      if (spot < this.n) return [this.time[spot], this.power[spot]];
      const { time_ms: time, power_w: power } = this.points[spot - this.n];
      return [time, power];
    }

    /** Spots to walk along with the arrow keys, by rising time. */
    walk(along) {
      if (along === "front") return this.data.front;
      const first = along === "measured" ? this.n : 0;
      const count = along === "measured" ? this.data.measured.length : this.n;
      const spots = Array.from({ length: count }, (_, i) => first + i);
      return spots.sort((one, other) => this.place(one)[0] - this.place(other)[0]);
    }
  }

  // ---- Labels --------------------------------------------------------------------------------------------------

  /** Place a label beside each of some markers so that it covers no other label, no marker and no other point. */
  function placeLabels(markers, others, area) {
    const overlap = (a, b) =>
      Math.max(0, Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x)) *
      Math.max(0, Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y));
    const distance = (box, { x, y }) =>
      Math.hypot(Math.max(box.x - x, 0, x - box.x - box.w), Math.max(box.y - y, 0, y - box.y - box.h));
    const outside = (box) => box.w * box.h - overlap(box, area);
    const taken = [...markers, ...others].map(({ x, y }) => ({ x: x - 6, y: y - 6, w: 12, h: 12 }));
    return markers.map(({ x, y, w, h }) => {
      const tries = [];
      for (const far of [0, 1, 2, 3, 4, 5].map((lines) => lines * h)) {
        for (const top of [y - h - 6 - far, y + 6 + far, y - h / 2]) {
          for (const left of [x + 9 + far, x - w - 9 - far, x - w / 2]) tries.push({ x: left, y: top, w, h });
        }
      }
      // A label that is nearer to another marker would be read as that one's.
      const misread = (box) => markers.some((other) => distance(box, other) < distance(box, { x, y }));
      const cost = (box) =>
        outside(box) + (misread(box) ? 0.2 * w * h : 0) + taken.reduce((sum, other) => sum + overlap(box, other), 0);
      let best = tries[0];
      for (const box of tries) {
        if (cost(box) < cost(best)) best = box;
        if (cost(best) === 0) break;
      }
      taken.push(best);
      return best;
    });
  }

  // ---- The view ------------------------------------------------------------------------------------------------

  class View {
    constructor(host, data) {
      this.host = host;
      this.id = `front-view-${++views}`;
      this.build();
      this.update(data);
      this.resized = new ResizeObserver(() => this.layout());
      this.resized.observe(this.plot);
      this.scheme = matchMedia("(prefers-color-scheme: dark)");
      this.onScheme = () => this.layout();
      this.scheme.addEventListener("change", this.onScheme);
    }

    destroy() {
      this.resized.disconnect();
      this.scheme.removeEventListener("change", this.onScheme);
      clearTimeout(this.saying);
      this.host.replaceChildren();
    }

    /** Show other numbers; the limit stays where it is if it can. */
    update(data) {
      const before = this.limit;
      this.modes = new Modes(data);
      this.spot = null;
      this.chosen = null;
      this.walks = {};
      this.goal = data.goal[0].toUpperCase() + data.goal.slice(1);
      const { min, max, step, value } = data.limit;
      for (const input of [this.range, this.number]) Object.assign(input, { min, max, step });
      this.decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
      const hasMeasured = data.measured.length > 0;
      this.along.querySelector("[value=measured]").hidden = !hasMeasured;
      if (!hasMeasured && this.along.value === "measured") this.along.value = "front";
      this.knobValues = data.knobs.map(() => make("dd", {}));
      this.knobs.replaceChildren(
        ...data.knobs.map(({ name }, i) => make("div", {}, make("dt", {}, name), this.knobValues[i])),
      );
      this.legend.replaceChildren(...this.legendEntries(data));
      this.setLimit(before ?? value);
      this.setWalk();
      this.layout();
    }

    // -- Elements

    build() {
      const id = this.id;
      this.cloud = make("canvas", { class: "front-cloud", "aria-hidden": "true" });
      this.shade = make("div", { class: "front-shade", "aria-hidden": "true" });
      this.marks = make("canvas", { class: "front-marks", "aria-hidden": "true" });
      this.walker = make("div", {
        class: "front-walk",
        tabindex: "0",
        role: "slider",
        "aria-label": "Modes in the drawing, by rising time",
        "aria-describedby": `${id}-keys`,
        onkeydown: (event) => this.key(event),
        onfocus: () => this.spot ?? this.look(this.spots()[this.at]),
        onblur: () => this.look(null),
      });
      this.grip = make("span", { class: "front-grip" });
      this.line = make("div", { class: "front-line", "aria-hidden": "true" }, this.grip);
      this.tip = make("div", { class: "front-tip", "aria-hidden": "true", hidden: "" });
      this.plot = make(
        "div",
        {
          class: "front-plot",
          onpointerdown: (event) => this.down(event),
          onpointermove: (event) => this.move(event),
          onpointerup: () => (this.dragging = false),
          onpointercancel: () => (this.dragging = false),
          onpointerleave: () => this.dragging || this.look(null),
        },
        this.cloud,
        this.shade,
        this.marks,
        this.walker,
        this.line,
        this.tip,
      );
      this.legend = make("ul", { class: "front-legend" });
      this.along = make(
        "select",
        { id: `${id}-along`, onchange: () => this.setWalk() },
        make("option", { value: "front" }, "the front"),
        make("option", { value: "measured" }, "the measured profiles"),
        make("option", { value: "all" }, "all modes"),
      );
      const keys = make(
        "p",
        { class: "front-keys" },
        make("label", { for: `${id}-along`, id: `${id}-keys` }, "Arrow keys in the drawing walk along"),
        " ",
        this.along,
      );
      this.spoken = make("div", { class: "front-spoken", role: "status", "aria-live": "polite" });
      this.host.replaceChildren(
        this.plot,
        make("div", { class: "front-side" }, this.buildLimit(), this.buildChoice()),
        make("div", { class: "front-below" }, this.legend, keys),
        this.spoken,
      );
    }

    buildLimit() {
      const id = `${this.id}-limit`;
      const typed = () => Number.isFinite(this.number.valueAsNumber) && this.setLimit(this.number.valueAsNumber);
      this.number = make("input", { type: "number", id, inputmode: "decimal", oninput: typed });
      this.number.addEventListener("change", () => this.show());
      this.range = make("input", {
        type: "range",
        "aria-label": "Power limit",
        oninput: () => this.setLimit(this.range.valueAsNumber),
      });
      const row = make("div", { class: "front-limit-row" }, make("label", { for: id }, "Power limit"), this.number, "W");
      return make("div", { class: "front-limit" }, row, this.range);
    }

    buildChoice() {
      this.heading = make("h3", {});
      this.cells = {};
      const results = make("dl", { class: "front-results" });
      for (const name of ["time", "power", "energy"]) {
        const cell = { value: make("dd", { class: "value" }), range: make("dd", {}), cost: make("dd", {}) };
        this.cells[name] = cell;
        results.append(make("div", {}, make("dt", {}, name), cell.value, cell.range, cell.cost));
      }
      this.knobs = make("dl", { class: "front-knobs" });
      this.command = make("code", {});
      this.copy = make("button", { type: "button", onclick: () => this.copyCommand() }, "Copy");
      this.note = make("p", { class: "front-note" });
      return make(
        "div",
        { class: "front-choice" },
        this.heading,
        results,
        this.knobs,
        make("div", { class: "front-apply" }, make("pre", {}, this.command), this.copy),
        this.note,
      );
    }

    legendEntries(data) {
      const many = data.total.toLocaleString("en-US");
      const drawn = data.n < data.total ? `, ${data.n.toLocaleString("en-US")} drawn` : "";
      const count = data.measured.length;
      const entries = [
        ["cloud", data.total === 1 ? `the mode, ${data.basis}` : `all ${many} modes, ${data.basis}${drawn}`],
        ["front", `${data.basis} front`],
      ];
      if (data.truth.time_ms.length) entries.push(["truth", "true front"]);
      if (count) entries.push(["measured", `${count.toLocaleString("en-US")} ${count === 1 ? "profile" : "profiles"}, measured`]);
      if (data.named.length) entries.push(["named", "modes with a name"]);
      entries.push(["chosen", "chosen under the limit"]);
      if (data.true_time_ms !== null) entries.push(["true", "the same in truth"]);
      return entries.map(([kind, text]) =>
        make("li", {}, make("span", { class: `swatch swatch-${kind}`, "aria-hidden": "true" }), text),
      );
    }

    // -- The limit and what is chosen

    get limit() {
      return this.limitW;
    }

    /** Set the limit [W], within the ends of the slider. */
    setLimit(watts) {
      const { min, max, step } = this.modes.data.limit;
      const rounded = Number((Math.round(watts / step) * step).toFixed(this.decimals));
      this.limitW = clamp(rounded, min, max);
      this.schedule();
    }

    /** Draw in the next frame, once, however often something changes until then. */
    schedule() {
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.show();
      });
    }

    show() {
      const text = this.limitW.toFixed(this.decimals);
      say(this.grip, `${text} W`);
      this.range.value = text;
      this.range.setAttribute("aria-valuetext", `${text} W`);
      if (document.activeElement !== this.number || this.dragging) this.number.value = text;
      if (this.height) {
        const y = this.y(this.limitW);
        this.line.style.transform = `translateY(${y}px)`;
        this.shade.style.transform = `scaleY(${Math.max(0, y - MARGIN.top) / this.inner.h})`;
      }
      const row = this.modes.chosen(this.limitW);
      const isNew = row !== this.chosen;
      this.chosen = row;
      if (isNew) this.showChoice(row);
      say(this.heading, row < 0 ? `No mode keeps ${text} W` : `${this.goal} under ${text} W`);
      if (isNew || this.isStale) this.drawMarks();
      this.isStale = false;
      if (this.told !== this.limitW) this.tell(text, row);
    }

    showChoice(row) {
      const { modes } = this;
      const mode = row < 0 ? "" : modes.text(row);
      for (const [name, unit] of [["time", "ms"], ["power", "W"], ["energy", "J"]]) {
        const { value, range, cost } = this.cells[name];
        const ends = row < 0 ? null : modes.interval(row, name);
        say(value, row < 0 ? "–" : `${format(modes.values(row)[name])} ${unit}`);
        say(range, ends ? `${format(ends[0])} to ${format(ends[1])}` : "");
        say(cost, row < 0 ? "" : this.costAgainstFastest(row, name));
      }
      modes.knobs.forEach(({ values, at }, i) => say(this.knobValues[i], row < 0 ? "–" : values[at[row]]));
      const [before, after] = modes.data.apply;
      say(this.command, row < 0 ? "" : before + mode + after);
      this.copy.disabled = row < 0;
      const kept = format(100 * (1 - modes.data.risk)).replace(/\.?0+$/, "");
      const least = modes.data.steps.limits_w[0];
      const needed = least === undefined ? "" : `The least limit that a mode keeps is ${format(least)} W.`;
      const ranges = modes.sd.time ? " Below each value: the central 90 % interval." : "";
      const others = modes.data.others && ` It also keeps ${modes.data.others}.`;
      say(this.note, row < 0 ? needed : `It keeps the limit with a probability of ${kept} %.${others}${ranges}${this.inTruth(row)}`);
    }

    inTruth(row) {
      const { trueTime, truePower } = this.modes;
      return trueTime ? ` In truth it takes ${format(trueTime[row])} ms and ${format(truePower[row])} W.` : "";
    }

    costAgainstFastest(row, name) {
      if (row === this.modes.data.fastest) return name === "time" ? "the fastest" : "";
      const change = 100 * (this.modes.values(row)[name] / this.modes.values(this.modes.data.fastest)[name] - 1);
      const [more, less] = name === "time" ? ["slower", "faster"] : ["more", "less"];
      return `${format(Math.abs(change), 2)} % ${change < 0 ? less : more}`;
    }

    /** Read the choice out once it stays, and tell the page of it. */
    tell(text, row) {
      this.told = this.limitW;
      const mode = row < 0 ? "" : this.modes.text(row);
      const detail = { limit_w: this.limitW, row, mode };
      this.host.dispatchEvent(new CustomEvent("powertrain-limit", { bubbles: true, detail }));
      clearTimeout(this.saying);
      const isFirst = this.saying === undefined;
      this.saying = setTimeout(() => isFirst || say(this.spoken, this.inWords(text, row)), QUIET_MS);
    }

    inWords(text, row) {
      if (row < 0) return `No mode keeps ${text} watts.`;
      const { time, power, energy } = this.modes.values(row);
      const cost = this.costAgainstFastest(row, "time");
      const against = row === this.modes.data.fastest ? cost : `${cost} than the fastest`;
      return (
        `Under ${text} watts: ${this.modes.text(row)}, ${format(time)} milliseconds, ${format(power)} watts, ` +
        `${format(energy)} joules, ${against}.`
      );
    }

    async copyCommand() {
      const text = this.command.textContent;
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // A page from a file or from plain http has no clipboard in some browsers.
        getSelection().selectAllChildren(this.command);
        done = document.execCommand("copy");
      }
      say(this.copy, done ? "Copied" : "Selected");
      say(this.spoken, done ? "The command was copied." : "The command is selected. Copy it with the keyboard.");
      setTimeout(() => say(this.copy, "Copy"), 2000);
    }

    // -- The pointer and the keys

    within(event) {
      const box = this.plot.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    isOnLine(event) {
      const isMouse = event.pointerType !== "touch";
      return this.grip.contains(event.target) || (isMouse && Math.abs(this.within(event)[1] - this.y(this.limitW)) < GRAB_RADIUS);
    }

    down(event) {
      if (event.button !== 0) return;
      if (this.isOnLine(event)) {
        event.preventDefault(); // no text is selected along the way
        this.dragging = true;
        this.plot.setPointerCapture(event.pointerId);
        this.look(null);
      } else {
        this.look(this.nearest(...this.within(event)));
      }
    }

    move(event) {
      const [x, y] = this.within(event);
      if (this.dragging) {
        this.setLimit(this.watts(y));
        return;
      }
      const isOnLine = this.isOnLine(event);
      this.plot.classList.toggle("on-line", isOnLine);
      if (event.pointerType !== "touch") this.look(this.nearest(x, y));
    }

    /** The spot next to a place in pixels, null where none is near. A marked point goes before the cloud. */
    nearest(x, y) {
      const { n } = this.modes;
      return this.nearestOf(n, this.xs.length, x, y, MARK_RADIUS) ?? this.nearestOf(0, n, x, y, PICK_RADIUS);
    }

    nearestOf(from, to, x, y, radius) {
      let best = null;
      let least = radius ** 2;
      for (let i = from; i < to; i++) {
        const square = (this.xs[i] - x) ** 2 + (this.ys[i] - y) ** 2;
        if (square < least) {
          least = square;
          best = i;
        }
      }
      return best;
    }

    spots() {
      const along = this.along.value;
      this.walks[along] ??= this.modes.walk(along);
      return this.walks[along];
    }

    setWalk() {
      const spots = this.spots();
      const start = spots.indexOf(this.modes.chosen(this.limitW));
      this.walker.setAttribute("aria-valuemin", 1);
      this.walker.setAttribute("aria-valuemax", Math.max(1, spots.length));
      this.setAt(Math.max(0, start));
    }

    setAt(at) {
      this.at = at;
      this.walker.setAttribute("aria-valuenow", at + 1);
      this.walker.setAttribute("aria-valuetext", this.spotInWords(this.spots()[at]));
    }

    spotInWords(spot) {
      if (spot === undefined) return "no mode";
      const { kind, mode, time, power, energy } = this.modes.about(spot);
      return `${kind}: ${format(time)} ms, ${format(power)} W, ${format(energy)} J${mode && `, ${mode}`}`;
    }

    key(event) {
      const spots = this.spots();
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
      let at = this.at + (steps[event.key] ?? 0);
      if (event.key === "Home") at = 0;
      else if (event.key === "End") at = spots.length - 1;
      else if (event.key === "Escape") return this.look(null);
      else if (!(event.key in steps)) return undefined;
      event.preventDefault();
      if (!spots.length) return undefined;
      this.setAt(clamp(at, 0, spots.length - 1));
      return this.look(spots[this.at]);
    }

    /** Show one spot: a ring in the drawing, its knobs and values beside it. */
    look(spot) {
      if (spot === undefined || spot === this.spot) return;
      this.spot = spot;
      this.isStale = true;
      this.schedule();
      this.tip.hidden = spot === null;
      if (spot === null) return;
      const { kind, mode, time, power, energy } = this.modes.about(spot);
      const values = `${format(time)} ms · ${format(power)} W · ${format(energy)} J`;
      const knobs = make("dl", {});
      for (const part of mode.split(" ").filter(Boolean)) {
        const at = part.lastIndexOf("=");
        knobs.append(make("dt", {}, part.slice(0, at)), make("dd", {}, part.slice(at + 1)));
      }
      this.tip.replaceChildren(make("strong", {}, values), make("span", {}, kind), knobs);
      const [x, y] = [this.xs[spot], this.ys[spot]];
      const { offsetWidth: w, offsetHeight: h } = this.tip;
      const left = x + 14 + w > this.width ? x - 14 - w : x + 14;
      const top = clamp(y - h - 10, 2, this.height - h - 2);
      this.tip.style.transform = `translate(${clamp(left, 2, this.width - w - 2)}px, ${top}px)`;
    }

    // -- Drawing

    x(time) {
      return MARGIN.left + ((Math.log(time) - this.scale.low) / (this.scale.high - this.scale.low)) * this.inner.w;
    }

    y(power) {
      return MARGIN.top + (1 - power / this.scale.top) * this.inner.h;
    }

    watts(y) {
      return (1 - (y - MARGIN.top) / this.inner.h) * this.scale.top;
    }

    /** Work out all places for the present size, and draw everything. */
    layout() {
      const { clientWidth: width, clientHeight: height } = this.plot;
      if (!width || !height) return;
      Object.assign(this, { width, height });
      this.inner = { w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
      this.scale = this.scales();
      const { modes } = this;
      const count = modes.n + modes.points.length;
      this.xs = new Float32Array(count);
      this.ys = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        const [time, power] = modes.place(i);
        this.xs[i] = this.x(time);
        this.ys[i] = this.y(power);
      }
      const style = getComputedStyle(this.host);
      this.colour = (name) => style.getPropertyValue(`--front-${name}`).trim();
      Object.assign(this.shade.style, {
        left: `${MARGIN.left}px`,
        top: `${MARGIN.top}px`,
        width: `${this.inner.w}px`,
        height: `${this.inner.h}px`,
      });
      this.line.style.left = `${MARGIN.left}px`;
      this.line.style.right = "0";
      this.labels = this.namedLabels();
      this.drawCloud();
      this.drawMarks();
      this.show();
    }

    scales() {
      const { data, time, power, points } = this.modes;
      let [low, high, top] = [Infinity, 0, data.limit.max];
      const include = (t, p) => {
        low = Math.min(low, t);
        high = Math.max(high, t);
        top = Math.max(top, p);
      };
      time.forEach((t, i) => include(t, power[i]));
      for (const { time_ms: t, power_w: p } of points) include(t, p);
      data.truth.time_ms.forEach((t, i) => include(t, data.truth.power_w[i]));
      const margin = Math.max(0.03 * Math.log(high / low), 0.02);
      return { low: Math.log(low) - margin, high: Math.log(high) + margin, top: 1.04 * top };
    }

    /** Prepare a canvas for the pixels of this screen, and empty it. */
    pen(canvas) {
      const ratio = Math.min(devicePixelRatio || 1, 3);
      const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      pen.font = `12px ${getComputedStyle(this.host).fontFamily}`;
      return pen;
    }

    drawCloud() {
      const pen = this.pen(this.cloud);
      this.drawAxes(pen);
      const { modes, xs, ys } = this;
      const size = modes.n > 2000 ? 2 : modes.n > 200 ? 3 : 5;
      pen.fillStyle = this.colour("cloud");
      for (let i = 0; i < modes.n; i++) pen.fillRect(xs[i] - size / 2, ys[i] - size / 2, size, size);
      const { truth, front } = modes.data;
      pen.lineJoin = "round";
      this.drawSteps(pen, truth.time_ms, truth.power_w, "truth", 4);
      const times = front.map((row) => modes.time[row]);
      this.drawSteps(pen, times, front.map((row) => modes.power[row]), "front", 2);
    }

    /** A front by rising time. Between two modes there is none, so it goes in steps and not in slopes. */
    drawSteps(pen, times, powers, colour, width) {
      if (!times.length) return;
      pen.beginPath();
      pen.moveTo(this.x(times[0]), this.y(powers[0]));
      for (let i = 1; i < times.length; i++) {
        pen.lineTo(this.x(times[i]), this.y(powers[i - 1]));
        pen.lineTo(this.x(times[i]), this.y(powers[i]));
      }
      pen.strokeStyle = this.colour(colour);
      pen.lineWidth = width;
      pen.stroke();
      if (times.length === 1) this.drawDot(pen, this.x(times[0]), this.y(powers[0]), width + 1, colour);
    }

    drawDot(pen, x, y, radius, colour) {
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fillStyle = this.colour(colour);
      pen.fill();
    }

    drawCross(pen, x, y) {
      for (const [colour, width] of [["page", 6], ["true", 3]]) {
        pen.strokeStyle = this.colour(colour);
        pen.lineWidth = width;
        pen.beginPath();
        for (const side of [-1, 1]) {
          pen.moveTo(x - 5, y - 5 * side);
          pen.lineTo(x + 5, y + 5 * side);
        }
        pen.stroke();
      }
    }

    drawAxes(pen) {
      const { left, top } = MARGIN;
      const { w, h } = this.inner;
      const [low, high] = [Math.exp(this.scale.low), Math.exp(this.scale.high)];
      pen.strokeStyle = this.colour("grid");
      pen.fillStyle = this.colour("soft");
      pen.lineWidth = 1;
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      pen.beginPath();
      for (const tick of evenTicks(0, this.scale.top, Math.max(3, Math.floor(h / 60)))) {
        const y = Math.round(this.y(tick)) + 0.5;
        pen.moveTo(left, y);
        pen.lineTo(left + w, y);
        pen.fillText(plain(tick), left - 7, y);
      }
      pen.textAlign = "center";
      let end = -Infinity; // of the last label: one that would touch it is left out
      for (const tick of logTicks(low, high)) {
        const x = Math.round(this.x(tick)) + 0.5;
        pen.moveTo(x, top);
        pen.lineTo(x, top + h);
        const half = pen.measureText(plain(tick)).width / 2;
        if (x - half < end + 8 || x + half > this.width) continue;
        pen.fillText(plain(tick), x, top + h + 13);
        end = x + half;
      }
      pen.stroke();
      pen.fillText("minibatch time [ms]", left + w / 2, top + h + 31);
      pen.save();
      pen.translate(10, top + h / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText("power [W]", 0, 0);
      pen.restore();
    }

    namedLabels() {
      const pen = this.cloud.getContext("2d");
      pen.font = `12px ${getComputedStyle(this.host).fontFamily}`;
      const markers = this.modes.data.named.map(({ name, time_ms: time, power_w: power }) => ({
        x: this.x(time),
        y: this.y(power),
        w: pen.measureText(name).width + 6,
        h: 17,
        name,
      }));
      const area = { x: MARGIN.left, y: MARGIN.top, w: this.inner.w, h: this.inner.h };
      const others = this.modes.data.measured
        .slice(0, MOST_AVOIDED)
        .map(({ time_ms: time, power_w: power }) => ({ x: this.x(time), y: this.y(power) }));
      return placeLabels(markers, others, area).map((box, i) => ({ ...box, marker: markers[i] }));
    }

    drawMarks() {
      if (!this.height) return;
      const pen = this.pen(this.marks);
      this.drawPoints(pen);
      if (this.chosen >= 0) this.drawChosen(pen, this.chosen);
      if (this.spot !== null) {
        pen.beginPath();
        pen.arc(this.xs[this.spot], this.ys[this.spot], 7, 0, 2 * Math.PI);
        pen.strokeStyle = this.colour("ink");
        pen.lineWidth = 2;
        pen.stroke();
      }
    }

    /** The measured profiles as diamonds, the modes with a name as squares with a label. */
    drawPoints(pen) {
      const { modes } = this;
      pen.lineWidth = 1.5;
      pen.strokeStyle = this.colour("page");
      pen.fillStyle = this.colour("measured");
      pen.beginPath();
      for (let i = modes.n; i < modes.n + modes.data.measured.length; i++) {
        const [x, y] = [this.xs[i], this.ys[i]];
        pen.moveTo(x, y - 6);
        pen.lineTo(x + 6, y);
        pen.lineTo(x, y + 6);
        pen.lineTo(x - 6, y);
        pen.closePath();
      }
      pen.fill();
      pen.stroke();
      pen.textBaseline = "middle";
      pen.textAlign = "left";
      for (const { x, y, w, h, marker } of this.labels) {
        pen.fillStyle = this.colour("ink");
        pen.fillRect(marker.x - 4, marker.y - 4, 8, 8);
        pen.strokeRect(marker.x - 4.75, marker.y - 4.75, 9.5, 9.5);
        this.drawLeader(pen, marker, [clamp(marker.x, x, x + w), clamp(marker.y, y, y + h)]);
        pen.fillStyle = this.colour("veil");
        pen.fillRect(x, y, w, h);
        pen.fillStyle = this.colour("ink");
        pen.fillText(marker.name, x + 3, y + h / 2);
      }
    }

    /** A line from a marker to its label, where that had to go farther away. */
    drawLeader(pen, { x, y }, [toX, toY]) {
      if (Math.hypot(toX - x, toY - y) < 14) return;
      pen.save();
      pen.strokeStyle = this.colour("soft");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(toX, toY);
      pen.stroke();
      pen.restore();
    }

    drawChosen(pen, row) {
      const [x, y] = [this.xs[row], this.ys[row]];
      pen.strokeStyle = this.colour("chosen");
      pen.lineWidth = 1.5;
      pen.beginPath();
      const time = this.modes.interval(row, "time");
      if (time) {
        pen.moveTo(this.x(time[0]), y);
        pen.lineTo(this.x(time[1]), y);
      }
      const power = this.modes.interval(row, "power");
      if (power) {
        pen.moveTo(x, this.y(power[0]));
        pen.lineTo(x, this.y(power[1]));
      }
      pen.stroke();
      if (this.modes.trueTime) this.drawCross(pen, this.x(this.modes.trueTime[row]), this.y(this.modes.truePower[row]));
      this.drawDot(pen, x, y, 7, "chosen");
      this.drawDot(pen, x, y, 3.5, "page");
    }
  }

  // ---- The report ------------------------------------------------------------------------------------------------

  function mount(host, data) {
    host.powertrainFront = new View(host, data);
    performance.mark("powertrain-front"); // for whoever measures how long a page takes
    return host.powertrainFront;
  }

  const fill = (host) => mount(host, JSON.parse(document.getElementById(host.dataset.front).textContent));

  /** Mount what is on the screen at once, the rest when it comes near, and all of it for the printer. */
  function mountAll() {
    const waiting = new Set(document.querySelectorAll("[data-front]"));
    const seen = new IntersectionObserver(
      (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => fillOnce(entry.target)),
      { rootMargin: "600px" },
    );
    const fillOnce = (host) => {
      if (waiting.delete(host)) fill(host);
      seen.unobserve(host);
    };
    waiting.forEach((host) => seen.observe(host));
    addEventListener("beforeprint", () => waiting.forEach(fillOnce));
  }

  window.PowerTrainFront = { mount };
  mountAll();
})();
