"""What docs/map.html must do. See tests/pages/run."""
import json
import os
import re
import tempfile

NAME = "map"
HEIGHTS = {"wide": 905, "narrow": 1500}  # of pictures; else all of the page
CONTROLS = ["theme", "mode", "play", "step", "forth", "follow", "region-USER", "region-IMAGE", "restricted-0", "unrestricted-0",
            "find-text", "legend-global"]
MAY = {"global", "local", "user", "view", "device"}  # in a restricted space
ALLOWED = {  # likewise, by region: the classes of design.md, and frames of whom
    "USER": {"user", "view"}, "EPHMAP": {"view"}, "LOCAL": {"local"}, "STACK": {"local", "global"},
    "PTWINDOW": {"local", "global"}, "GLOBAL": {"global", "device"}, "IMAGE": {"global"},
}
STEPS = {"asi": ["entry", "view mapped", "copy", "view reused", "copy", "return"], "naive": ["entry", "exit", "copy", "enter", "return"]}


def page(_build):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/map.html")


def pose(browser, scheme):
    """For the pictures: the exit, and the step at which a view is mapped."""
    mode, title = ("naive", "exit") if scheme == "light" else ("asi", "view mapped")
    browser.run("""document.querySelector(`[name=mode][value=${arguments[0]}]`).click();
                   [...document.querySelectorAll("#steps button")].find((node) => node.innerText === arguments[1]).click();""",
                mode, title)


def text(browser, name):
    return browser.run("return document.getElementById(arguments[0]).innerText;", name)


def crumbs(browser):
    return browser.run("return [...document.querySelectorAll('#crumbs button')].map((node) => node.innerText);")


def focus(browser, name):
    browser.run("document.getElementById(arguments[0]).focus();", name)


def focused(browser):
    return browser.run("return document.activeElement.id;")


def steps(browser):
    return browser.run("return [...document.querySelectorAll('#steps button')].map((node) => node.innerText);")


def in_order(wanted, found):
    """Whether all of `wanted` comes in `found`, in that order."""
    rest = iter(found)
    return all(one in rest for one in wanted)


def zooms(browser, expect):
    """From the PML4 to a page by Enter, back by Backspace."""
    focus(browser, "region-EPHMAP")
    browser.press("Enter")
    expect("EPHMAP" in text(browser, "crumbs") and len(crumbs(browser)) == 4, "a region's button does not lead into it")
    browser.press("Backspace", "Backspace", "Backspace")
    expect(crumbs(browser) == ["PML4"] and focused(browser).endswith("-256"), "Backspace does not lead back to slot 256")
    for depth in range(1, 5):
        browser.press("Enter")
        expect(len(crumbs(browser)) == depth + 1, f"Enter does not zoom to depth {depth}")
        if depth < 4:
            expect(browser.run("return document.querySelectorAll('.grid .cell').length;") == 1024, "not 512 cells twice")
            if depth < 3:
                browser.press("n", "p")
    expect("SECRET, a page of object" in text(browser, "space-restricted"), "the page in EPHMAP is no object's page")
    expect("PHYSMAP" in text(browser, "space-restricted"), "the page is nowhere in PHYSMAP")
    browser.press("Backspace")
    before = focused(browser)
    browser.press("Right")
    expect(int(focused(browser).split("-")[1]) == int(before.split("-")[1]) + 1, "the arrow does not move")
    browser.press("Down")
    expect(int(focused(browser).split("-")[1]) == int(before.split("-")[1]) + 33, "the arrow does not go a row down")
    browser.press("Home")
    expect(focused(browser).endswith("-0"), "Home does not go to the first cell")
    browser.press("End", "Tab")
    expect(not focused(browser).startswith("restricted-"), "Tab does not leave the grid")
    for name in ("up", "up", "up"):
        focus(browser, name)
        browser.press("Enter")
    expect(crumbs(browser) == ["PML4"], "up does not lead to the PML4")


def wrong_classes(browser):
    """Cells of the restricted column that have a class which may not be there, in every table at every moment."""
    return browser.run("""
        const bad = [], seen = new Set(), { go, state, moments } = window.twoSpaces;
        const allowed = arguments[0], kindsOf = (cell) => cell.dataset.kinds.split(" ").filter(Boolean);
        let cells = 0;
        const visit = (path) => {
            go(path);
            const column = [...document.querySelectorAll("#space-restricted .cell")].map(kindsOf);
            column.forEach((kinds, index) => {
                const region = path.length ? path[0] : index;
                const name = region < 256 ? "USER" : { 256: "EPHMAP", 257: "LOCAL", 258: "STACK", 259: "PTWINDOW", 260: "GLOBAL", 511: "IMAGE" }[region];
                cells += kinds.length ? 1 : 0;
                for (const kind of kinds) if (!(allowed[name] || []).includes(kind)) bad.push(`${[...path, index].join("/")}: ${kind}`);
            });
            /* PTWINDOW leads to all the tables again, and is gone into once, at its first level. */
            if (path.length < 2 || (path.length < 3 && path[0] !== 259)) column.forEach((kinds, index) => { if (kinds.length) visit([...path, index]); });
        };
        for (state.moment = 0; state.moment < moments; state.moment++) visit([]);
        state.moment = 0;
        go([]);
        return { bad: bad.slice(0, 5), cells };""", {name: sorted(kinds) for name, kinds in ALLOWED.items()})


def classes(browser, expect):
    """The restricted column has nothing that may not be there; and the test would see it."""
    found = wrong_classes(browser)
    expect(not found["bad"], f"in the restricted column: {found['bad']}")
    expect(found["cells"] > 1000, f"only {found['cells']} cells of the restricted column were seen")
    expect(all(kinds <= MAY for kinds in ALLOWED.values()), "the legend and the rules differ")
    for kind in ("others-local", "others-user", "secret", "dirty", "free", "reserved"):
        counts = browser.run("return [...document.querySelectorAll(`#legend-${arguments[0]} .count`)].map((node) => node.innerText);", kind)
        expect(counts[0] == "–", f"{kind} in the restricted space: {counts}")
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as wrong:
        with open(page(None), encoding="utf-8") as file:
            wrong.write(re.sub(r'"restricted":\d+,(.*?)"unrestricted":(\d+)', r'"restricted":\2,\1"unrestricted":\2', file.read()))
        wrong.flush()
        browser.open(wrong.name)
        expect(wrong_classes(browser)["bad"], "the unrestricted space in the restricted column is not noticed")
    browser.open(page(None))
    expect(browser.run("return document.querySelector('#legend-secret .count:last-child').innerText;") != "–", "no secret anywhere")


def differences(browser, expect):
    """Where the two differ is seen: PHYSMAP and STACK, and nothing else."""
    slots = browser.run("return [...document.querySelectorAll('#space-unrestricted .cell.differs')].map((node) => node.id);")
    expect(slots == ["unrestricted-258", "unrestricted-320"], f"the two spaces differ in {slots}")
    missing = browser.run("return [...document.querySelectorAll('#space-restricted .cell.missing')].map((node) => node.id);")
    expect(missing == ["restricted-320"], f"not in the restricted space: {missing}")
    focus(browser, "unrestricted-320")
    expect("restricted: nothing is mapped" in text(browser, "detail"), "the focus does not tell what PHYSMAP is")
    label = browser.run("return document.getElementById('unrestricted-320').getAttribute('aria-label');")
    expect("only in the unrestricted space" in label, f"a cell's label: {label}")


def finds(browser, expect):
    """An address, a function; what is neither; one class alone."""
    focus(browser, "find-text")
    browser.press(*"object_read", "Enter")
    expect("IMAGE" in text(browser, "crumbs") and "object_read" in text(browser, "detail"), "object_read is not found")
    focus(browser, "find-text")
    browser.run("document.activeElement.value = '';")
    browser.press(*"ffff808000000000", "Enter")
    expect("LOCAL" in text(browser, "crumbs") and focused(browser).endswith("-0"), "the first address of LOCAL is not found")
    focus(browser, "find-text")
    browser.run("document.activeElement.value = '';")
    browser.press(*"nowhere", "Enter")
    expect(browser.run("return document.getElementById('find-text').getAttribute('aria-invalid');") == "true", "nowhere is somewhere")
    browser.run("document.getElementById('find-text').value = '';")
    browser.run("window.twoSpaces.go([]);")
    focus(browser, "legend-secret")
    browser.press("Enter")
    shown = browser.run("return [...document.querySelectorAll('.cell:not(.dimmed)')].map((node) => node.id);")
    expect(shown == ["unrestricted-258", "unrestricted-320"], f"SECRET alone: {shown}")
    browser.press("Enter")
    expect(browser.run("return document.querySelectorAll('.cell.dimmed').length;") == 0, "the class stays alone")


def replays(browser, expect):
    """The slider goes through the steps, which happen in the space and at the place that they name."""
    for mode, wanted in STEPS.items():
        browser.run("document.querySelector(`[name=mode][value=${arguments[0]}]`).click();", mode)
        found = steps(browser)
        expect(in_order(wanted, found), f"mode {mode}: the steps are {found}")
        expect(("exit" in found) == (mode == "naive"), f"mode {mode}: {'no' if mode == 'naive' else 'an'} exit")
        focus(browser, "step")
        browser.press("Home")
        said = []
        for index in range(len(found)):
            said.append(text(browser, "say"))
            expect(said[-1].startswith(found[index] + "."), f"mode {mode}: step {index} says {said[-1][:30]}")
            loaded = browser.run("return [...document.querySelectorAll('.space.loaded')].map((node) => node.id);")
            expect(len(loaded) == 1, f"mode {mode}: step {index}: {loaded} loaded")
            if mode == "asi":
                expect(loaded == ["space-restricted"], f"mode asi leaves the restricted space at step {index}")
            if found[index] in ("view mapped", "view reused", "exit"):
                marked = browser.run("return [...document.querySelectorAll('.cell.marked')].map((node) => [node.id, node.dataset.kinds]);")
                space = "unrestricted" if found[index] == "exit" else "restricted"
                # both: what the step touches is one page of a file
                expect(any(name.startswith(space) and kinds in ("view", "secret") for name, kinds in marked),
                       f"mode {mode}: {found[index]} marks {marked}")
                expect(("PHYSMAP" if found[index] == "exit" else "EPHMAP") in text(browser, "crumbs"), f"{found[index]} is not followed")
            browser.press("Right")
        expect(len(set(said)) == len(said), f"mode {mode}: two steps say the same")
        expect(mode == "asi" or browser.run("return document.querySelectorAll('#steps .unrestricted').length;") > 0, "naive does not leave")
    focus(browser, "play")
    browser.press("Enter")
    expect(browser.run("return document.getElementById('play').getAttribute('aria-pressed');") == "true", "play does not play")
    browser.press("Enter")
    focus(browser, "follow")
    browser.press("Space")
    before = crumbs(browser)
    focus(browser, "forth")
    browser.press("Enter")
    expect(crumbs(browser) == before, "the map follows though it shall not")


def view_appears(browser, expect):
    """The window is not there before it is mapped, and is there afterwards."""
    cell = browser.run("""
        document.querySelector("[name=mode][value=asi]").click();
        const buttons = () => [...document.querySelectorAll("#steps button")], at = buttons().findIndex((node) => node.innerText === "view mapped");
        document.getElementById("follow").checked = true;
        buttons()[at].click();
        const cell = document.querySelector("#space-restricted .cell.marked"), after = cell.dataset.kinds;
        document.getElementById("follow").checked = false;
        buttons()[at - 1].click();
        return [cell.dataset.kinds, after];""")
    expect(cell == ["", "view"], f"the window's cell, before and after it is mapped: {json.dumps(cell)}")


def check(browser):
    """Presses keys, and looks at what becomes of the page."""
    problems = []

    def expect(good, what):
        if not good:
            problems.append(what)

    browser.open(page(None))
    browser.press("Tab") # a page that nobody has touched is told of no focus
    expect(browser.run("return document.documentElement.dataset.drawn;") == "yes", "the script did not come to its end")
    expect(browser.run("return performance.getEntriesByType('resource').length;") == 0, "the page fetches something")
    for part in (differences, zooms, finds, classes, replays, view_appears):
        part(browser, expect)
    focus(browser, "step")
    browser.run("document.querySelector('[name=theme]').focus();")
    browser.press("Down")
    ground = browser.run("return getComputedStyle(document.body).backgroundColor;")
    browser.press("Down")
    expect(browser.run("return getComputedStyle(document.body).backgroundColor;") != ground, "light and dark look the same")
    return problems + browser.errors()
