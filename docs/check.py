"""Look at the built site in a browser: `python docs/check.py build/site`.

Every page is opened as wide as a desk and as a phone. What is reported: broken links and pictures,
errors of the console, what was not loaded, formulas that were not set, pages that scroll sideways,
tables and code that are cut off. Needs `pip install playwright`, and a Chromium: that of
`playwright install chromium`, or the one that CHROMIUM names.
"""

import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag

from playwright.sync_api import sync_playwright

WIDTHS = (1280, 390)

FAULTS = """() => {
    const faults = [], all = (what) => [...document.querySelectorAll(what)];
    for (const formula of all(".math"))
        if (!formula.querySelector("mjx-container"))
            faults.push("formula not set: " + formula.textContent);
    // MathJax sets a command that it does not know in red.
    for (const error of all("mjx-merror, mjx-container [style*='color: red']"))
        faults.push("error in a formula: " + error.textContent);
    for (const image of all("img"))
        if (!image.complete || !image.naturalWidth) faults.push("no picture: " + image.src);
    for (const box of [document.documentElement, ...all("main, .bd-article-container")])
        if (box.scrollWidth > box.clientWidth + 1)
            faults.push(`scrolls sideways: ${box.scrollWidth} of ${box.clientWidth}`);
    for (const wide of all("main table, main pre, main .math, main img")) {
        // Up to the box in which it scrolls nothing may hide what is beyond its edge.
        const right = wide.getBoundingClientRect().right;
        for (let box = wide.parentElement; box && box.tagName !== "MAIN"; box = box.parentElement) {
            const overflow = getComputedStyle(box).overflowX;
            if (["auto", "scroll"].includes(overflow)) break;
            if (overflow !== "visible" && right > box.getBoundingClientRect().right + 1)
                faults.push("cut off: " + wide.tagName + " " + wide.textContent.slice(0, 60));
        }
    }
    return faults;
}"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def look(browser, width, root, pages, report):
    """Open every page at one width; return the links and the names of each."""
    links, names = {}, {}
    page = browser.new_page(viewport={"width": width, "height": 900})
    shown = ""
    page.on("console", lambda m: m.type in ("error", "warning") and report(shown, width, m.text))
    page.on("pageerror", lambda error: report(shown, width, error))
    page.on("requestfailed", lambda request: report(shown, width, f"not loaded: {request.url}"))
    for shown in pages:
        page.goto(f"{root}/{shown}")
        page.evaluate("() => window.MathJax?.startup?.promise")
        for fault in page.evaluate(FAULTS):
            report(shown, width, fault)
        links[shown] = page.eval_on_selector_all("a[href]", "every => every.map(a => a.href)")
        names[shown] = set(page.eval_on_selector_all("[id]", "every => every.map(e => e.id)"))
    page.close()
    return links, names


def main(folder):
    site = Path(folder)
    pages = [page.relative_to(site) for page in sorted(site.rglob("*.html"))]
    pages = [page.as_posix() for page in pages if page.parts[0] != "_static"]
    problems = []

    def report(page, width, fault):
        problems.append(f"{page} at {width}: {' '.join(str(fault).split())}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in WIDTHS:
            links, names = look(browser, width, root, pages, report)
        browser.close()
    server.shutdown()

    for page, every in links.items():
        for link in {link for link in every if link.startswith(f"{root}/")}:
            path, name = urldefrag(unquote(link.removeprefix(f"{root}/")))
            path = path.partition("?")[0] or "index.html"
            if not (site / path).is_file():
                report(page, "any width", f"no such page: {path}")
            elif name and name not in names.get(path, {name}):
                report(page, "any width", f"no such place: {path}#{name}")
    for problem in sorted(set(problems)):
        print(problem)
    count = sum(map(len, links.values()))
    print(f"{len(pages)} pages at {len(WIDTHS)} widths, {count} links: {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
