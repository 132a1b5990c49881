"""What BUILD/report.html must do. See tests/pages/run."""
import os

NAME = "report"
CONTROLS = ["theme", "price-row", "price-verw", "price-cr3", "price-at", "price-log", "exit-workload", "exit-mode", "surface-workload"]


def page(build):
    return os.path.join(build, "report.html")


def focus(browser, name):
    browser.run("document.getElementById(arguments[0]).focus();", name)


def text(browser, name):
    return browser.run("return document.getElementById(arguments[0]).innerText;", name)


def ground(browser):
    return browser.run("return getComputedStyle(document.body).backgroundColor;")


def check(browser):
    """Presses keys, and looks at what becomes of the page."""
    problems = []

    def expect(good, what):
        if not good:
            problems.append(what)

    expect(browser.run("return document.documentElement.dataset.drawn;") == "yes", "the script did not come to its end")
    expect(browser.run("return document.querySelectorAll('#price-plot canvas').length;") == 1, "no plot")
    expect(browser.run("return document.querySelectorAll('#generations .bar').length;") == 4, "not four generations")
    expect(browser.run("return performance.getEntriesByType('resource').length;") == 0, "the page fetches something")

    before = text(browser, "price-table")
    focus(browser, "price-at")
    browser.press("End")
    expect(text(browser, "price-at-text") == "8,000 ticks", "End does not set the price")
    expect(text(browser, "price-table") != before, "the price changes nothing")
    browser.press("Home")
    expect(text(browser, "price-at-text") == "0 ticks", "Home does not set the price")

    before = text(browser, "price-table")
    focus(browser, "price-row")
    browser.press("Down", "Enter")
    expect(text(browser, "price-table") != before, "another row changes nothing")

    before = text(browser, "price-table")
    focus(browser, "price-cr3")
    browser.press("Up")
    expect(text(browser, "price-table") != before, "the price of a CR3 write changes nothing")

    focus(browser, "price-log")
    browser.press("Space")
    expect(browser.run("return document.getElementById('price-log').checked;"), "the space bar does not check the box")

    expect(len(text(browser, "exit-sites").splitlines()) > 2, "no exits in mode naive")
    focus(browser, "exit-mode")
    browser.press("Down", "Enter")
    expect("No exit at all" in text(browser, "exit-causes"), "mode asi has exits, or none are shown")
    expect(browser.run("return document.querySelectorAll('#surface-bars .bar').length;") == 4, "not four modes")

    browser.run("document.querySelector('[name=theme]').focus();")
    browser.press("Down")
    light = ground(browser)
    browser.press("Down")
    expect(ground(browser) != light, "light and dark look the same")
    return problems + browser.errors()
