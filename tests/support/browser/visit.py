"""Opens a page in Chromium and prints what was seen, as JSON. Runs in the environment `browser`, without the project.

    visit.py CHROMIUM URL FOLDER [WIDTH HEIGHT SCHEME]...

For each width, height and colour scheme: a screenshot in FOLDER, and the violations that axe-core finds.
"""

from __future__ import annotations

import json
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

QUESTIONS = {
    "overflows": "document.documentElement.scrollWidth > window.innerWidth",
    "sections": "[...document.querySelectorAll('main section')].map(one => one.id)",
    "landmarks": "['header', 'nav', 'main', 'footer'].map(one => document.querySelectorAll('body > ' + one).length)",
    "dead_links": "[...document.querySelectorAll('a')].filter(one => !document.querySelector(one.hash)).length",
    "milliseconds": "performance.getEntriesByType('navigation')[0].loadEventEnd",
    "text": "document.body.innerText",
}


def main(chromium: str, url: str, folder: str, *views: str) -> None:
    found: dict[str, object] = {"console": [], "requests": [], "views": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for width, height, scheme in zip(views[::3], views[1::3], views[2::3], strict=True):
            # bypass_csp: the checker is a script, which the page's own policy refuses.
            context = browser.new_context(
                viewport={"width": int(width), "height": int(height)}, color_scheme=scheme, bypass_csp=True
            )
            page = context.new_page()
            page.on("console", lambda message: found["console"].append(message.text))
            page.on("pageerror", lambda error: found["console"].append(str(error)))
            page.on("request", lambda request: found["requests"].append(request.url))
            page.goto(url)
            _capture(page, f"{folder}/{width}-{scheme}.png")
            violations = Axe().run(page).response["violations"]
            found["views"].append(
                {
                    "width": int(width),
                    "scheme": scheme,
                    "violations": [[one["id"], *(node["html"][:300] for node in one["nodes"])] for one in violations],
                    **{name: page.evaluate(script) for name, script in QUESTIONS.items()},
                }
            )
            context.close()
        browser.close()
    sys.stdout.write(json.dumps(found))


def _capture(page: Page, path: str) -> None:
    """Asks again, once: on a busy machine Chromium refuses now and then a picture that it takes a moment later."""
    try:
        page.screenshot(path=path, full_page=True)
    except Error as error:
        if "Unable to capture screenshot" not in str(error):
            raise
        page.wait_for_timeout(500)
        page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
