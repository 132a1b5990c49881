"use strict";
/* Draws the report from the figures in #data. No network, no storage; every control is a plain form element. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const MODES = ["none", "classic", "naive", "asi"];
  const PRICE_MAX = 8000;
  const byId = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const percent = (ratio) => {
    const value = 100 * (ratio - 1);
    return (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(1) + " %";
  };

  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key === "style") Object.assign(node.style, value);
      else node[key] = value;
    }
    node.append(...children);
    return node;
  }

  function fillTable(table, head, rows, numbers) {
    const cell = (tag, text, column) => element(tag, { className: numbers.includes(column) ? "number" : "" }, String(text));
    table.replaceChildren(
      element("thead", {}, element("tr", {}, ...head.map((text, i) => cell("th", text, i)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, i) => cell("td", text, i))))));
  }

  /* A horizontal bar of parts [{value, colour, title}]; `most` is the length of the longest. */
  function bar(name, parts, most, text) {
    const total = parts.reduce((sum, part) => sum + part.value, 0);
    const fill = element("span", { className: "fill", style: { width: `${Math.max(0, 70 * total / most)}%` } });
    for (const part of parts) {
      fill.append(element("span", { title: part.title || "", style: { width: `${100 * part.value / (total || 1)}%`, background: `var(--${part.colour})` } }));
    }
    return element("div", { className: "bar" }, element("span", {}, name),
      element("span", { className: "track" }, fill, element("span", { className: "value" }, text)));
  }

  function fillFacts() {
    for (const node of document.querySelectorAll("[data-fact]")) {
      node.textContent = node.dataset.fact.split(".").reduce((value, key) => value[key], data);
    }
  }

  /* --- The story -------------------------------------------------------------------------------------------------- */

  const LANES = [
    ["Naive: every touch of a secret leaves", [["read(2)"], ["IBPB", "flush"], ["copy through the map of all RAM", "out"],
      ["VERW", "flush"], ["return"]]],
    ["Linux, August 2025: a view for each use", [["read(2)"], ["map the page", "ephemeral"], ["copy"],
      ["unmap, flush its TLB entry", "ephemeral"], ["return"]]],
    ["Penumbra: a view that lasts", [["read(2)"], ["look at the window's entry"], ["copy"], ["return"]]],
  ];

  function drawStory() {
    byId("lanes").replaceChildren(...LANES.map(([title, steps]) => element("div", { className: "lane" },
      element("h3", {}, title),
      element("ol", {}, ...steps.map(([text, kind]) => element("li", { className: kind || "" }, text))))));
    const row = data.rows.pread4k;
    const loss = (mode) => 100 * (1 - row.none.dear.ticks / row[mode].dear.ticks);
    const entries = [
      ["Linux ASI before its ephmap", 70, "naive", ""], ["Linux ASI with its ephmap", 13.1, "classic", ""],
      ["Penumbra, mode naive", loss("naive"), "naive", `, exits a read: ${number(row.naive.dear.exits, 2)}`],
      ["Penumbra, mode asi", loss("asi"), "asi", `, exits a read: ${number(row.asi.dear.exits, 2)}`],
    ];
    byId("generations").replaceChildren(...entries.map(([name, value, kind, note]) =>
      bar(name, [{ value: Math.max(value, 0), colour: kind }], 100, `−${value.toFixed(1)} %${note}`)));
  }

  /* --- Prices ----------------------------------------------------------------------------------------------------- */

  const measured = { ...data.rows, ...data.workloads };
  const title = (name) => data.titles[name] || data.workloadTitles[name] || name;
  let plot = null;

  /* Ticks in a mode when an IBPB costs so much: what was counted, times prices. */
  function ticks(figures, ibpb, verw, cr3) {
    const counts = figures.dear || figures.cheap;
    return figures.off.ticks + counts.control_flushes * ibpb + counts.data_flushes * verw + counts.cr3_writes * cr3;
  }

  function prices() {
    return { verw: Number(byId("price-verw").value) || 0, cr3: Number(byId("price-cr3").value) || 0, at: Number(byId("price-at").value) };
  }

  function drawPlot(row, modes) {
    const { verw, cr3 } = prices();
    const xs = Array.from({ length: 81 }, (_, i) => i * PRICE_MAX / 80);
    const ratio = (mode, p) => ticks(row[mode], p, verw, cr3) / ticks(row.none, p, verw, cr3);
    const box = byId("price-plot");
    if (plot) plot.destroy();
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    plot = new uPlot({
      width: Math.max(box.clientWidth, 200), height: 320,
      scales: { x: { time: false }, y: { distr: byId("price-log").checked ? 3 : 1 } },
      axes: [{ ...axis, label: "price of an IBPB, ticks" },
        { ...axis, size: 60, label: "times mode none", values: (_, list) => list.map((value) => value === null ? "" : "×" + Number(value.toPrecision(3))) }],
      series: [{ label: "IBPB" }, ...modes.map((mode) => ({
        label: mode, stroke: colour(mode), width: 2, dash: mode === "none" ? [4, 4] : undefined,
        points: { show: false }, value: (_, value) => value === null ? "–" : "×" + value.toFixed(3) }))],
      legend: { show: true }, cursor: { drag: { x: false, y: false } },
    }, [xs, ...modes.map((mode) => xs.map((p) => ratio(mode, p)))], box);
  }

  function drawPrices() {
    const name = byId("price-row").value, row = measured[name], { verw, cr3, at } = prices();
    const modes = MODES.filter((mode) => row[mode] && row[mode].off);
    byId("price-at-text").textContent = `${number(at)} ticks`;
    drawPlot(row, modes);
    const none = ticks(row.none, at, verw, cr3);
    fillTable(byId("price-table"), ["mode", `ticks at ${number(at)}`, "over none", "IBPB", "VERW", "CR3 writes", "exits"],
      modes.map((mode) => {
        const counts = row[mode].dear || row[mode].cheap || row[mode].off, all = ticks(row[mode], at, verw, cr3);
        return [mode, number(all), percent(all / none), ...["control_flushes", "data_flushes", "cr3_writes", "exits"].map((key) => number(counts[key], 2))];
      }), [1, 2, 3, 4, 5, 6]);
    const worst = modes.flatMap((mode) => [["cheap", 1000], ["dear", 4500]].filter(([profile]) => row[mode][profile])
      .map(([profile, p]) => Math.abs(ticks(row[mode], p, 500, 200) / row[mode][profile].ticks - 1)));
    byId("price-check").textContent = worst.length === 0 ? "Not measured with prices."
      : `Against what was measured with 1,000 and 4,500 ticks charged (VERW 500, CR3 write 200), the lines are off by at most ${(100 * Math.max(...worst)).toFixed(2)} %.`;
    byId("price-command").textContent = data.rows[name]
      ? `make bench FLUSH=cost:${at},${verw},${cr3} CMDLINE=bench.rows=${name}`
      : `tools/workloads --only=${name.replace(/-(psync|mmap)-\d|-status/g, "")} --profile=cost:${at},${verw},${cr3}`;
  }

  /* --- Exits and surface ------------------------------------------------------------------------------------------ */

  const anyProfile = (figures) => figures.dear || figures.cheap || figures.off;

  function drawExits() {
    const name = byId("exit-workload").value, mode = byId("exit-mode").value;
    const sites = anyProfile(data.workloads[name][mode]).sites.map(([site, count]) => {
      const [cause, symbol] = site.split(":");
      return { cause, symbol, count: Number(count) };
    });
    const causes = new Map();
    for (const site of sites) causes.set(site.cause, (causes.get(site.cause) || 0) + site.count);
    const sorted = [...causes].sort((a, b) => b[1] - a[1]), most = sorted.length ? sorted[0][1] : 1;
    byId("exit-causes").replaceChildren(...(sorted.length === 0 ? [element("p", {}, "No exit at all.")]
      : sorted.map(([cause, count]) => bar(cause, [{ value: count, colour: mode }], most, number(count)))));
    fillTable(byId("exit-sites"), ["cause", "kernel symbol", "exits a run"],
      sites.sort((a, b) => b.count - a.count).map((site) => [site.cause, site.symbol, number(site.count, 1)]), [2]);
    byId("exit-command").textContent = `make workloads, or at the prompt: asirun --modes=none,${mode} COMMAND`;
  }

  const CLASSES = [["user", "its own memory"], ["windows", "windows on its files"], ["local", "its kernel objects"], ["global", "metadata and image"]];

  function drawSurface() {
    const name = byId("surface-workload").value, modes = MODES.filter((mode) => data.workloads[name][mode]);
    const pages = (mode) => anyProfile(data.workloads[name][mode]).pages;
    const total = (mode) => CLASSES.reduce((sum, [key]) => sum + pages(mode)[key], 0);
    const most = Math.max(data.ramPages, ...modes.map(total));
    const all = (mode) => mode === "none" || mode === "classic";
    byId("surface-bars").replaceChildren(
      element("p", { className: "legend" }, ...[...CLASSES, ["ram", "all of RAM"]].map(([key, text]) =>
        element("span", {}, element("i", { style: { background: `var(--${key})` } }), text))),
      ...modes.map((mode) => all(mode) ? bar(mode, [{ value: most, colour: "ram", title: "all of RAM" }], most, `all of RAM: ${number(most)} pages`)
        : bar(mode, CLASSES.map(([key, text]) => ({ value: pages(mode)[key], colour: key, title: `${text}: ${number(pages(mode)[key])}` })),
          most, `${number(total(mode))} pages: ` + CLASSES.map(([key]) => number(pages(mode)[key])).join(" + "))));
    byId("surface-command").textContent = "asirun COMMAND: \"pages in its kernel's space\"; make audit walks the same tables from outside";
  }

  /* --- Controls --------------------------------------------------------------------------------------------------- */

  function options(select, groups) {
    for (const [label, names] of groups) {
      if (names.length) select.append(element("optgroup", { label }, ...names.map((name) => element("option", { value: name }, title(name)))));
    }
  }

  function setUp() {
    const rows = Object.keys(data.rows), programs = Object.keys(data.workloads);
    const whole = programs.filter((name) => MODES.every((mode) => !data.workloads[name][mode] || data.workloads[name][mode].off) && anyProfile(data.workloads[name].none) !== data.workloads[name].none.off);
    options(byId("price-row"), [["programs", whole], ["operations", rows]]);
    byId("price-row").value = whole[0] || "pread4k";
    options(byId("exit-workload"), [["programs", programs]]);
    options(byId("surface-workload"), [["programs", programs]]);
    for (const id of ["price-row", "price-verw", "price-cr3", "price-at", "price-log"]) byId(id).addEventListener("input", drawPrices);
    for (const id of ["exit-workload", "exit-mode"]) byId(id).addEventListener("input", drawExits);
    byId("surface-workload").addEventListener("input", drawSurface);
    for (const radio of document.querySelectorAll("[name=theme]")) {
      radio.addEventListener("input", () => {
        if (radio.value === "auto") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = radio.value;
        drawPrices();
      });
    }
    let width = window.innerWidth;
    window.addEventListener("resize", () => { if (width !== window.innerWidth) { width = window.innerWidth; drawPrices(); } });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPrices);
  }

  fillFacts();
  setUp();
  drawStory();
  drawPrices();
  if (Object.keys(data.workloads).length) {
    drawExits();
    drawSurface();
  } else {
    for (const id of ["exits", "surface"]) byId(id).append(element("p", {}, "No program was measured: make report does."));
  }
  document.documentElement.dataset.drawn = "yes";
})();
