"use strict";
/* Draws the two trees in #data. No network, no storage; the place in the tree is the address's fragment (#/256/0/60). */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en");
  const hex = (value) => "0x" + value.toString(16);
  const SPACES = ["restricted", "unrestricted"];
  const LEVELS = ["page", "page table", "page directory", "PDPT", "PML4"];
  const SHORT = ["", "PT", "PD", "PDPT", "PML4"];
  const LARGE = 0x80, WRITE = 2, USER = 4, UNCACHED = 0x18, GLOBAL_ENTRY = 0x100, COW = 0x200, NX = 0x1000;
  const ENTRIES = 512, PAGE = 4096n;

  /* The first five may be in a restricted space, the others never. */
  const KINDS = [
    ["global", "GLOBAL", "metadata that everybody may have"],
    ["local", "LOCAL", "kernel objects of this process"],
    ["user", "USER", "memory of this process"],
    ["view", "SECRET that it may see", "pages of files that it has open"],
    ["device", "device", "registers, uncached"],
    ["others-local", "LOCAL of others", "kernel objects of other processes"],
    ["others-user", "USER of others", "memory of other processes"],
    ["secret", "SECRET", "page cache, pipes, messages: without a view or mapping of this process"],
    ["dirty", "DIRTY", "of nobody any more, not yet cleared"],
    ["free", "FREE", "all zero"],
    ["reserved", "RESERVED", "not RAM, or the firmware's"],
  ];
  const MAY = 5;
  const KIND = Object.fromEntries(KINDS.map(([name], index) => [name, index]));

  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key.includes("-") || key === "role") node.setAttribute(key, value);
      else node[key] = value;
    }
    node.append(...children);
    return node;
  }

  /* --- One moment of the machine ---------------------------------------------------------------------------------- */

  /*
   * A node is a table {frame, level}, or a large page that is looked at as a table of its pieces ({large: true}); an
   * entry is {frame, flags} or null. Counts of pages by kind, and whether two entries differ, are kept once computed.
   */
  class Moment {
    constructor(index) {
      const base = data.moments[0], own = data.moments[index];
      this.mode = own.mode;
      this.tables = { ...base.tables, ...own.tables };
      this.roots = { restricted: { frame: base.restricted, level: 4 }, unrestricted: { frame: base.unrestricted, level: 4 } };
      this.entriesOf = new Map();
      this.countsOf = new Map();
      this.differences = new Map();
      this.readFrames(own.frames || base.frames);
      this.visible = new Set();
      this.walk(this.roots.restricted, 0n, (address, entry) => {
        const name = regionAt(address)[0];
        if (name === "USER" || name === "EPHMAP") this.visible.add(entry.frame);
      });
    }

    readFrames(runs) {
      const last = runs[runs.length - 1];
      this.frames = last[0] + last[1];
      this.classes = new Uint8Array(this.frames);
      this.owners = new Uint32Array(this.frames);
      this.objects = new Uint32Array(this.frames);
      for (const [first, count, number, owner, object] of runs) {
        this.classes.fill(number, first, first + count);
        this.owners.fill(owner, first, first + count);
        this.objects.fill(object, first, first + count);
      }
    }

    className(frame) { return frame < this.frames ? data.classes[this.classes[frame]] : "device"; }

    kind(frame, flags) {
      const name = this.className(frame);
      switch (name) {
        case "SECRET": return this.visible.has(frame) ? KIND.view : KIND.secret;
        case "USER": return this.visible.has(frame) ? KIND.user : KIND["others-user"];
        case "LOCAL": return this.owners[frame] === data.reader ? KIND.local : KIND["others-local"];
        case "RESERVED": return (flags & UNCACHED) === UNCACHED ? KIND.device : KIND.reserved;
        default: return KIND[name.toLowerCase()];
      }
    }

    /* The 512 entries of a node. */
    entries(node) {
      const key = this.key(node);
      if (!this.entriesOf.has(key)) this.entriesOf.set(key, node.large ? this.pieces(node) : this.expand(this.tables[node.frame] || []));
      return this.entriesOf.get(key);
    }

    expand(runs) {
      const entries = new Array(ENTRIES).fill(null);
      for (const [index, count, frame, step, flags] of runs) {
        for (let i = 0; i < count; i++) entries[index + i] = { frame: frame + i * step, flags };
      }
      return entries;
    }

    pieces(node) {
      const step = ENTRIES ** (node.level - 1);
      return Array.from({ length: ENTRIES }, (_, i) => ({ frame: node.frame + i * step, flags: node.flags, piece: true }));
    }

    key(node) { return `${node.large ? "L" : ""}${node.frame}.${node.level}`; }

    /* What an entry of a table of `level` leads to; null for a page. */
    below(entry, level) {
      if (level === 1) return null;
      return entry.flags & LARGE ? { large: true, frame: entry.frame, flags: entry.flags, level: level - 1 } : { frame: entry.frame, level: level - 1 };
    }

    /* Pages by kind, of an entry in a table of `level`. */
    count(entry, level) {
      const node = this.below(entry, level);
      if (node) return this.countNode(node);
      const counts = new Array(KINDS.length).fill(0);
      counts[this.kind(entry.frame, entry.flags)] = 1;
      return counts;
    }

    countNode(node) {
      const key = this.key(node);
      let counts = this.countsOf.get(key);
      if (!counts) {
        counts = new Array(KINDS.length).fill(0);
        for (const entry of this.entries(node)) {
          if (entry && node.level === 1) counts[this.kind(entry.frame, entry.flags)]++;
          else if (entry) this.count(entry, node.level).forEach((pages, kind) => { counts[kind] += pages; });
        }
        this.countsOf.set(key, counts);
      }
      return counts;
    }

    /* Whether the two spaces map something else below two entries of the same place. */
    differ(a, b, level) {
      if (!a || !b) return (a || b) !== null;
      if (a.frame === b.frame && a.flags === b.flags) return false;
      if (level === 1 || (a.flags | b.flags) & LARGE) return true;
      const key = `${a.frame}.${b.frame}.${level}`;
      if (!this.differences.has(key)) {
        const other = this.entries(this.below(b, level));
        this.differences.set(key, this.entries(this.below(a, level)).some((entry, i) => this.differ(entry, other[i], level - 1)));
      }
      return this.differences.get(key);
    }

    /* Calls back with address, entry, pages for each page or large page; shared empty tables are gone over quickly. */
    walk(node, base, visit, seen = new Map()) {
      const key = this.key(node);
      if (seen.get(key) === 0) return 0;
      const shift = BigInt(3 + 9 * node.level);
      let found = 0;
      this.entries(node).forEach((entry, index) => {
        if (!entry) return;
        let address = base + (BigInt(index) << shift);
        if (node.level === 4 && index >= 256) address += 0xffff000000000000n;
        if (node.level === 1 || entry.flags & LARGE) {
          visit(address, entry, ENTRIES ** (node.level - 1));
          found++;
        } else {
          found += this.walk(this.below(entry, node.level), address, visit, seen);
        }
      });
      seen.set(key, found);
      return found;
    }

    /* Along a path of indices: the node that it leads to, the page entry at its end, or null where nothing is. */
    resolve(space, path) {
      let node = this.roots[space], entry = null;
      for (const index of path) {
        entry = node ? this.entries(node)[index] : null;
        if (!entry) return { node: null, entry: null };
        node = this.below(entry, node.level);
      }
      return { node, entry };
    }
  }

  const moments = [];
  const moment = (index) => moments[index] || (moments[index] = new Moment(index));

  /* --- Addresses -------------------------------------------------------------------------------------------------- */

  function addressOf(path) {
    let address = 0n;
    path.forEach((index, depth) => { address |= BigInt(index) << BigInt(39 - 9 * depth); });
    return path.length && path[0] >= 256 ? address | 0xffff000000000000n : address;
  }

  const pathOf = (address, length) => Array.from({ length }, (_, depth) => Number(address >> BigInt(39 - 9 * depth) & 511n));
  const spanOf = (length) => 1n << BigInt(48 - 9 * length);
  const slotOf = (address) => Number(address >> 39n & 511n);
  const regionOfSlot = (slot) => data.regions.find(([, first, last]) => slot >= first && slot <= last);
  const regionAt = (address) => regionOfSlot(slotOf(address)) || ["none", 0, 0, "no region has this slot"];

  const PARTS = data.parts.map(([start, end, name]) => [BigInt("0x" + start), BigInt("0x" + end), name]);
  const FUNCTIONS = data.functions.map(([offset, name]) => [BigInt("0x" + data.image) + BigInt(offset), name]);

  function partAt(start, end) {
    const found = PARTS.filter(([first, last]) => start >= first && end <= last);
    return found.length ? found[0][2] : "";
  }

  function functionsIn(start, end) {
    const before = FUNCTIONS.filter(([address]) => address <= start).slice(-1);
    const inside = FUNCTIONS.filter(([address]) => address > start && address < end);
    const textEnd = BigInt("0x" + data.textEnd);
    return start < textEnd && before.length ? [...before, ...inside].map(([, name]) => name) : [];
  }

  function size(bytes) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; bytes >= 1024n && unit < 4; unit++) bytes /= 1024n;
    return `${bytes} ${units[unit]}`;
  }

  /* --- Words ------------------------------------------------------------------------------------------------------ */

  const total = (counts) => counts.reduce((sum, pages) => sum + pages, 0);

  function kindsInWords(counts) {
    const parts = counts.map((pages, kind) => [pages, KINDS[kind][1]]).filter(([pages]) => pages).sort((a, b) => b[0] - a[0]);
    return parts.map(([pages, name]) => `${number(pages)} ${name}`).join(", ");
  }

  function rights(flags) {
    const words = ["read"];
    if (flags & WRITE) words.push("write");
    if (!(flags & NX)) words.push("execute");
    const text = words.join(", ") + (flags & USER ? "; user code too" : "; kernel only");
    return text + (flags & GLOBAL_ENTRY ? "; global" : "") + (flags & COW ? "; copied before a write" : "") +
      ((flags & UNCACHED) === UNCACHED ? "; uncached" : "");
  }

  function whose(now, frame) {
    const name = now.className(frame), owner = now.owners[frame];
    if (name === "SECRET") return now.objects[frame] ? `SECRET, a page of object ${now.objects[frame]}` : "SECRET, a buffer of the kernel's";
    if (name !== "LOCAL" && name !== "USER") return name;
    return `${name} of process ${owner}${data.names[owner] ? ` (${data.names[owner]})` : ""}`;
  }

  function describe(now, entry, level) {
    if (!entry) return "nothing is mapped";
    if (level === 1) return `frame ${hex(entry.frame)}, ${whose(now, entry.frame)}; ${rights(entry.flags)}`;
    const counts = now.count(entry, level), pages = total(counts);
    const what = entry.flags & LARGE ? `large page, frames from ${hex(entry.frame)}; ${rights(entry.flags)}` : `${LEVELS[level - 1]} in frame ${hex(entry.frame)}`;
    return pages ? `${what}: ${kindsInWords(counts)}` : `${what}, which maps nothing`;
  }

  /* --- State ------------------------------------------------------------------------------------------------------ */

  const state = { path: [], at: 0, space: "restricted", moment: 0, replay: 0, step: 0, only: null };
  const now = () => moment(state.moment);
  const level = () => 4 - state.path.length; // of the table that is shown; 0: a page
  const step = () => data.replays.length ? data.replays[state.replay].steps[state.step] : null;
  const places = () => (step() ? step().places : []).map((place) => ({ ...place, address: BigInt("0x" + place.address) }));

  /* Which cells of the shown table lead to a place of the step, and what is there. */
  function marks() {
    const found = new Map(), prefix = state.path.join(".");
    for (const place of places()) {
      const path = pathOf(place.address, state.path.length + 1);
      if (path.slice(0, -1).join(".") === prefix) found.set(path[path.length - 1], [...(found.get(path[path.length - 1]) || []), place]);
    }
    return found;
  }

  /* A place is where it is in both spaces, unless it says in which. */
  const isIn = (place, space) => !place.space || place.space === space;

  /* --- Grids ------------------------------------------------------------------------------------------------------ */

  const grids = {};

  function makeGrid(space) {
    const cells = Array.from({ length: ENTRIES }, (_, index) => {
      const cell = element("div", { className: "cell", role: "gridcell", tabIndex: -1, id: `${space}-${index}` });
      cell.addEventListener("focus", () => { state.at = index; state.space = space; rove(); detail(index); });
      cell.addEventListener("click", () => { cell.focus(); zoomIn(); });
      cell.addEventListener("mouseenter", () => detail(index));
      return cell;
    });
    const grid = element("div", { className: "grid", role: "grid", "aria-label": `${space} space` });
    for (let i = 0; i < ENTRIES; i += 32) grid.append(element("div", { className: "row", role: "row" }, ...cells.slice(i, i + 32)));
    grid.addEventListener("mouseleave", () => detail(state.at));
    grid.addEventListener("keydown", gridKey);
    grids[space] = { grid, cells, card: element("div", { className: "card", tabIndex: 0, id: `${space}-card` }) };
    grids[space].card.addEventListener("keydown", gridKey);
  }

  function gradient(counts) {
    const shown = counts.map((pages, kind) => [Math.pow(pages, 0.35), KINDS[kind][0]]).filter(([weight]) => weight);
    const all = shown.reduce((sum, [weight]) => sum + weight, 0);
    if (!all) return "";
    if (shown.length === 1) return `var(--${shown[0][1]})`;
    let from = 0;
    return "linear-gradient(135deg, " + shown.map(([weight, name]) => {
      const start = from;
      from += 100 * weight / all;
      return `var(--${name}) ${start.toFixed(1)}% ${from.toFixed(1)}%`;
    }).join(", ") + ")";
  }

  function drawCell(cell, entry, other, space, index, marked) {
    const counts = entry ? now().count(entry, level()) : null, pages = entry ? total(counts) : 0;
    const differs = now().differ(entry, other, level());
    const here = marked.some((place) => isIn(place, space));
    const classes = ["cell"];
    if (entry) classes.push(pages ? "present" : "nothing");
    if (differs) classes.push(entry ? "differs" : "missing");
    if (here) classes.push("marked");
    if (state.only !== null && !(counts && counts[state.only])) classes.push("dimmed");
    cell.className = classes.join(" ");
    cell.style.background = pages ? gradient(counts) : "";
    cell.dataset.kinds = entry ? counts.map((n, kind) => n ? KINDS[kind][0] : "").filter(Boolean).join(" ") : "";
    const words = [`${index}`, entry ? kindsInWords(counts) || "empty table" : "nothing"];
    if (differs) words.push(!other ? `only in the ${space} space` : !entry ? "only in the other space" : "other frames than in the other space");
    if (here) words.push("of this step: " + marked.map((place) => place.name).join(", "));
    cell.setAttribute("aria-label", words.join("; "));
  }

  function drawGrids() {
    const nodes = Object.fromEntries(SPACES.map((space) => [space, now().resolve(space, state.path).node]));
    const empty = new Array(ENTRIES).fill(null), found = marks();
    const entries = Object.fromEntries(SPACES.map((space) => [space, nodes[space] ? now().entries(nodes[space]) : empty]));
    for (const space of SPACES) {
      const other = entries[SPACES.find((name) => name !== space)];
      grids[space].cells.forEach((cell, index) => drawCell(cell, entries[space][index], other[index], space, index, found.get(index) || []));
    }
    rove();
  }

  function rove() {
    for (const space of SPACES) {
      grids[space].cells.forEach((cell, index) => {
        cell.tabIndex = index === state.at ? 0 : -1;
        cell.classList.toggle("partner", index === state.at && space !== state.space && document.activeElement === grids[state.space].cells[index]);
      });
    }
  }

  function gridKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const across = Number(getComputedStyle(grids.restricted.grid).getPropertyValue("--across"));
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -state.at, End: ENTRIES - 1 - state.at };
    if (event.key === "Backspace" || event.key === "Escape") zoomOut();
    else if (level() === 0) return;
    else if (event.key in moves) focusCell(Math.min(ENTRIES - 1, Math.max(0, state.at + moves[event.key])));
    else if (event.key === "n" || event.key === "N") focusCell(nextPresent(1));
    else if (event.key === "p" || event.key === "P") focusCell(nextPresent(-1));
    else if (event.key === "Enter" || event.key === " ") zoomIn();
    else return;
    event.preventDefault();
  }

  const has = (index, name) => SPACES.some((space) => grids[space].cells[index].classList.contains(name));
  const filled = (index) => has(index, "present") || has(index, "nothing"); // a table that maps nothing can be looked at, too

  function nextPresent(direction) {
    for (let index = state.at + direction; index >= 0 && index < ENTRIES; index += direction) if (has(index, "present")) return index;
    return state.at;
  }

  function focusCell(index) {
    state.at = index;
    grids[state.space].cells[index].focus();
  }

  /* --- A page ----------------------------------------------------------------------------------------------------- */

  /* Every address at which a space has the frame; the first few. */
  function elsewhere(space, frame) {
    const found = [];
    now().walk(now().roots[space], 0n, (address, entry, pages) => {
      if (frame >= entry.frame && frame < entry.frame + pages) found.push(address + BigInt(frame - entry.frame) * PAGE);
    });
    return found;
  }

  function drawCard(space) {
    const { entry } = now().resolve(space, state.path), address = addressOf(state.path), card = grids[space].card;
    const list = element("dl"), add = (name, text) => list.append(element("dt", {}, name), element("dd", { className: "mono" }, text));
    card.replaceChildren();
    if (!entry) {
      const physmap = regionAt(address)[0] === "PHYSMAP";
      card.append(element("p", {}, "Nothing is mapped here. " + (physmap
        ? "Kernel code that touches it in this space faults, and leaves for the other one: an exit. Speculation finds nothing." : "")));
      return;
    }
    const kind = KINDS[now().kind(entry.frame, entry.flags)], marked = places().some((place) => isIn(place, space) && place.address / PAGE === address / PAGE);
    card.append(element("span", { className: "swatch" + (marked ? " marked" : "") }), list);
    card.firstChild.style.background = `var(--${kind[0]})`;
    add("class", whose(now(), entry.frame));
    add("frame", hex(entry.frame));
    add("rights", rights(entry.flags));
    const names = functionsIn(address, address + PAGE);
    if (names.length && regionAt(address)[0] === "IMAGE") add("code", names.join(", "));
    for (const other of SPACES) {
      const at = elsewhere(other, entry.frame), shown = at.slice(0, 4).map((one) => `${regionAt(one)[0]} ${hex(one)}`);
      add(`in the ${other}`, (shown.join(", ") || "nowhere") + (at.length > 4 ? ` and ${at.length - 4} more` : ""));
    }
  }

  /* --- Moving in the tree ----------------------------------------------------------------------------------------- */

  function go(path, at, focus = true, remember = true) {
    state.path = path;
    drawAll();
    const first = level() === 0 ? 0 : grids.restricted.cells.findIndex((_, index) => has(index, "present"));
    state.at = at !== undefined ? at : Math.max(first, 0);
    if (remember) history.replaceState(null, "", path.length ? "#/" + path.join("/") : "#");
    rove();
    if (focus && level() === 0) grids[state.space].card.focus();
    else if (focus) focusCell(state.at);
    else detail(state.at);
  }

  function zoomIn() {
    if (level() > 0 && filled(state.at)) go([...state.path, state.at]);
  }

  function zoomOut() {
    if (state.path.length) go(state.path.slice(0, -1), state.path[state.path.length - 1]);
  }

  /* Into a region, past levels at which there is no choice. */
  function jump(slot) {
    let path = [slot];
    while (path.length < 3) {
      const used = new Set();
      for (const space of SPACES) {
        const { node } = now().resolve(space, path);
        if (node) now().entries(node).forEach((entry, index) => { if (entry && total(now().count(entry, node.level))) used.add(index); });
      }
      if (used.size !== 1) break;
      path = [...path, ...used];
    }
    go(path);
  }

  function drawCrumbs() {
    const crumb = (text, path) => {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", () => go(path, state.path[path.length]));
      if (path.length === state.path.length) button.setAttribute("aria-current", "location");
      return button;
    };
    const parts = [crumb("PML4", [])];
    state.path.forEach((index, depth) => {
      const region = depth === 0 ? ` ${regionAt(addressOf([index]))[0]}` : "", what = depth === 3 ? "page" : SHORT[3 - depth];
      parts.push(element("span", { "aria-hidden": "true" }, "›"), crumb(`${what} ${index}${region}`, state.path.slice(0, depth + 1)));
    });
    const start = addressOf(state.path), end = start + spanOf(state.path.length) - 1n;
    if (state.path.length) parts.push(element("span", { className: "mono" }, `${start.toString(16).padStart(16, "0")} – …${(end & 0xffffffffffffn).toString(16)}, ${size(spanOf(state.path.length))}`));
    byId("crumbs").replaceChildren(...parts);
    byId("up").disabled = state.path.length === 0;
  }

  function slotsOf(region, space) {
    const entries = now().entries(now().roots[space]), counts = new Array(KINDS.length).fill(0), slots = [];
    for (let slot = region[1]; slot <= region[2]; slot++) {
      if (!entries[slot]) continue;
      slots.push(slot);
      now().count(entries[slot], 4).forEach((pages, kind) => { counts[kind] += pages; });
    }
    return { slots, counts };
  }

  function drawStrip() {
    byId("strip").replaceChildren(...data.regions.map((region) => {
      const found = Object.fromEntries(SPACES.map((space) => [space, slotsOf(region, space)]));
      const button = element("button", { type: "button", id: `region-${region[0]}`, title: region[3] }, element("span", {}, region[0]));
      for (const space of SPACES) {
        const { slots, counts } = found[space];
        const marked = places().some((place) => isIn(place, space) && regionAt(place.address) === region);
        const bar = element("span", { className: "bar" + (slots.length ? "" : " absent") + (marked ? " marked" : "") });
        bar.style.background = gradient(counts);
        button.append(bar);
      }
      const pages = SPACES.map((space) => found[space].slots.length ? `${number(total(found[space].counts))} pages` : "absent");
      button.setAttribute("aria-label", `${region[0]}, ${region[3]}: restricted ${pages[0]}, unrestricted ${pages[1]}`);
      if (state.path.length && regionAt(addressOf(state.path)) === region) button.setAttribute("aria-current", "true");
      const slots = found.unrestricted.slots;
      button.addEventListener("click", () => { if (slots.length) jump(slots[0]); });
      return button;
    }));
  }

  /* --- Words below the grids -------------------------------------------------------------------------------------- */

  function detail(index) {
    if (level() === 0) return byId("detail").replaceChildren(element("p", {}, `A page of ${regionAt(addressOf(state.path))[0]}: ${regionAt(addressOf(state.path))[3]}. What is in it is not shown here: that is the point.`));
    const path = [...state.path, index], start = addressOf(path), end = start + spanOf(path.length);
    const region = regionAt(start), part = partAt(start, end), names = region[0] === "IMAGE" && level() === 1 ? functionsIn(start, end) : [];
    const head = `${SHORT[level()]}[${index}], ${size(spanOf(path.length))} from ${start.toString(16).padStart(16, "0")}: ${region[0]}${part ? `, ${part}` : `, ${region[3]}`}`;
    const lines = [element("p", {}, element("b", {}, head))];
    const words = SPACES.map((space) => {
      const { node } = now().resolve(space, state.path);
      return describe(now(), node ? now().entries(node)[index] : null, level());
    });
    if (words[0] === words[1]) lines.push(element("p", {}, `both: ${words[0]}`));
    else SPACES.forEach((space, i) => lines.push(element("p", {}, `${space}: ${words[i]}`)));
    if (names.length) lines.push(element("p", { className: "mono" }, names.join(", ")));
    byId("detail").replaceChildren(...lines);
  }

  function countsHere(space) {
    const { node, entry } = now().resolve(space, state.path);
    if (node) return now().countNode(node);
    const counts = new Array(KINDS.length).fill(0);
    if (entry) counts[now().kind(entry.frame, entry.flags)] = 1;
    return counts;
  }

  function drawLegend() {
    const [restricted, unrestricted] = SPACES.map(countsHere);
    const row = ([name, title, text], kind) => {
      const swatch = element("i"), cell = (pages) => element("span", { className: "count" + (pages ? "" : " zero") }, pages ? number(pages) : "–");
      swatch.style.background = `var(--${name})`;
      const button = element("button", { type: "button", id: `legend-${name}`, title: `${text}: show these alone`, "aria-pressed": String(state.only === kind) },
        swatch, element("span", {}, title), cell(restricted[kind]), cell(unrestricted[kind]));
      button.setAttribute("aria-label", `${title}, ${text}: restricted ${restricted[kind]}, unrestricted ${unrestricted[kind]} pages`);
      button.addEventListener("click", () => {
        state.only = state.only === kind ? null : kind;
        drawAll();
        byId(`legend-${name}`).focus();
      });
      return button;
    };
    const frame = element("i"), dotted = element("i");
    frame.style.boxShadow = "inset 0 0 0 2px var(--differs)";
    dotted.style.border = "1px dashed var(--differs)";
    const note = (swatch, text) => element("div", {}, swatch, element("span", {}, text), "", "");
    byId("legend").replaceChildren(
      element("h3", {}, "May be in its restricted space: pages below this table, restricted and unrestricted (press one to see it alone)"), ...KINDS.slice(0, MAY).map(row),
      element("h3", {}, "Must not be there"), ...KINDS.slice(MAY).map((kind, i) => row(kind, i + MAY)),
      element("h3", {}, "Where the two differ"), note(frame, "only here, or with other frames"), note(dotted, "not here, but in the other space"));
  }

  /* Runs of cells that look alike. */
  function drawRuns() {
    const rows = [];
    if (level() > 0) {
      const words = (index) => SPACES.map((space) => {
        const label = grids[space].cells[index].getAttribute("aria-label");
        return filled(index) ? label.slice(label.indexOf(";") + 2).replace(/; of this step:.*/, "") : "";
      });
      for (let index = 0; index < ENTRIES; index++) {
        const [a, b] = words(index), last = rows[rows.length - 1];
        if (!a && !b) continue;
        if (last && last.to === index - 1 && last.a === a && last.b === b) last.to = index;
        else rows.push({ from: index, to: index, a, b });
      }
    }
    const line = ({ from, to, a, b }) => {
      const button = element("button", { type: "button" }, from === to ? `${from}` : `${from}–${to}`);
      button.addEventListener("click", () => { state.at = from; zoomIn(); });
      const start = addressOf([...state.path, from]), text = (words) => element("td", { className: /only in/.test(words) ? "only" : "" }, words);
      return element("tr", {}, element("td", {}, button), element("td", { className: "mono" }, start.toString(16).padStart(16, "0")),
        element("td", {}, regionAt(start)[0]), ...(a === b ? [element("td", { colSpan: 2 }, `both: ${a}`)] : [text(a), text(b)]));
    };
    byId("runs").replaceChildren(
      element("thead", {}, element("tr", {}, ...["entries", "from", "region", "restricted", "unrestricted"].map((text) => element("th", {}, text)))),
      element("tbody", {}, ...rows.map(line)));
    byId("list").hidden = level() === 0;
  }

  function drawBadges() {
    for (const space of SPACES) {
      const box = byId(`space-${space}`), loaded = step() && step().space === space, pages = total(countsHere(space));
      box.classList.toggle("loaded", Boolean(loaded));
      box.querySelector(".badge").textContent = (loaded ? "● in CR3 now · " : "") + `${number(pages)} pages`;
    }
  }

  function drawAll() {
    for (const space of SPACES) byId(`space-${space}`).querySelector(".body").replaceChildren(level() === 0 ? grids[space].card : grids[space].grid);
    if (level() === 0) SPACES.forEach(drawCard);
    else drawGrids();
    drawCrumbs();
    drawStrip();
    drawBadges();
    drawLegend();
    drawRuns();
  }

  /* --- Replay ----------------------------------------------------------------------------------------------------- */

  let timer = null;

  function goToStep(index, follow) {
    state.step = index;
    state.moment = step().moment;
    byId("step").value = index;
    byId("step").setAttribute("aria-valuetext", step().title);
    const main = places()[0];
    if (follow && main) go(pathOf(main.address, 3), pathOf(main.address, 4)[3], false);
    else go(state.path, state.at, false);
    drawReplay();
  }

  function place(one) {
    const button = element("button", { type: "button" }, element("i", { "aria-hidden": "true" }, "◉"), `${one.name} – ${regionAt(one.address)[0]}`);
    button.addEventListener("click", () => go(pathOf(one.address, 3), pathOf(one.address, 4)[3]));
    return button;
  }

  function drawReplay() {
    const { steps } = data.replays[state.replay], current = step();
    byId("step").max = steps.length - 1;
    byId("back").disabled = state.step === 0;
    byId("forth").disabled = state.step === steps.length - 1;
    byId("steps").replaceChildren(...steps.map((one, index) => {
      const button = element("button", { type: "button", className: one.space }, one.title);
      if (index === state.step) button.setAttribute("aria-current", "step");
      button.addEventListener("click", () => goToStep(index, byId("follow").checked));
      return element("li", {}, button);
    }));
    const when = !current.t ? "" : ` ${number(current.t)} ticks after the entry.`;
    byId("say").replaceChildren(element("p", {}, element("b", {}, current.title + ". "), current.text + when),
      element("div", { className: "places" }, ...places().map(place)));
  }

  function stopPlaying() {
    clearInterval(timer);
    timer = null;
    byId("play").textContent = "▶ play";
    byId("play").setAttribute("aria-pressed", "false");
  }

  function play() {
    if (timer) return stopPlaying();
    const last = data.replays[state.replay].steps.length - 1;
    if (state.step === last) goToStep(0, byId("follow").checked);
    byId("play").textContent = "❚❚ pause";
    byId("play").setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      goToStep(state.step + 1, byId("follow").checked);
      if (state.step === last) stopPlaying();
    }, 2200);
  }

  function setUpReplay() {
    byId("replay").hidden = data.replays.length === 0;
    if (!data.replays.length) return;
    data.replays.forEach((replay, index) => {
      const radio = element("input", { type: "radio", name: "mode", value: replay.mode, checked: index === 0 });
      radio.addEventListener("input", () => { stopPlaying(); state.replay = index; goToStep(0, byId("follow").checked); });
      byId("modes").append(element("label", {}, radio, ` mode ${replay.mode}`));
    });
    const go = (index) => { stopPlaying(); goToStep(index, byId("follow").checked); };
    byId("step").addEventListener("input", () => go(Number(byId("step").value)));
    byId("back").addEventListener("click", () => go(Math.max(0, state.step - 1)));
    byId("forth").addEventListener("click", () => go(Math.min(data.replays[state.replay].steps.length - 1, state.step + 1)));
    byId("play").addEventListener("click", play);
    drawReplay();
  }

  /* --- An address or a function, by name -------------------------------------------------------------------------- */

  /* The address of what was typed, or null. */
  function find(text) {
    if (/^(0x)?[0-9a-f]{5,16}$/i.test(text)) return BigInt(text.startsWith("0x") ? text : `0x${text}`) & 0xffffffffffffn;
    const named = FUNCTIONS.find(([, name]) => name === text) || FUNCTIONS.find(([, name]) => name.startsWith(text));
    return named ? named[0] : null;
  }

  function setUpFind() {
    byId("find").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = byId("find-text").value.trim(), address = text ? find(text) : null;
      byId("find-text").setAttribute("aria-invalid", String(address === null));
      if (address === null) return;
      let length = 3; // down to where something is
      while (length > 0 && SPACES.every((space) => !now().resolve(space, pathOf(address, length)).node)) length--;
      go(pathOf(address, length), pathOf(address, 4)[length]);
    });
  }

  /* --- Start ------------------------------------------------------------------------------------------------------ */

  function drawSummary() {
    const [restricted, unrestricted] = SPACES.map((space) => moment(0).countNode(moment(0).roots[space]));
    const others = (counts) => total(counts.slice(MAY, KIND.free));
    byId("summary").textContent = `Process ${data.reader} (${data.names[data.reader]}) on a machine of ${number(Math.round(moment(0).frames / 256))} MiB: ` +
      `restricted, ${number(total(restricted))} pages, ${number(others(restricted))} of them anybody else's; unrestricted, ` +
      `${number(total(unrestricted))} pages, ${number(others(unrestricted))} of them anybody else's.`;
  }

  function setUp() {
    SPACES.forEach(makeGrid);
    setUpReplay();
    setUpFind();
    byId("up").addEventListener("click", zoomOut);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Backspace" && !event.defaultPrevented && !/^(text|search)$/.test(event.target.type)) zoomOut();
    });
    for (const radio of document.querySelectorAll("[name=theme]")) {
      radio.addEventListener("input", () => {
        if (radio.value === "auto") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = radio.value;
      });
    }
    const path = location.hash.split("/").slice(1).map(Number);
    if (data.replays.length) state.moment = step().moment;
    go(path.length <= 4 && path.every((index) => index >= 0 && index < ENTRIES) ? path : [], undefined, false);
    drawSummary();
  }

  setUp();
  window.twoSpaces = { go: (path) => go(path, undefined, false, false), state, moments: data.moments.length };
  document.documentElement.dataset.drawn = "yes";
})();
