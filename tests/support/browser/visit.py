"""Opens a page in Chromium and prints what was seen, as JSON. Runs in the environment `browser`, without the project.

    visit.py CHROMIUM URL FOLDER [WIDTH HEIGHT SCHEME]...

For each width, height and colour scheme: a screenshot in FOLDER, and the violations that axe-core finds.
"""

from __future__ import annotations

import json
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


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
            page.screenshot(path=f"{folder}/{width}-{scheme}.png", full_page=True)
            results = Axe().run(page).response
            found["views"].append(
                {
                    "width": int(width),
                    "scheme": scheme,
                    "violations": [
                        {
                            "id": one["id"],
                            "impact": one["impact"],
                            "nodes": [node["html"][:300] for node in one["nodes"]],
                        }
                        for one in results["violations"]
                    ],
                    "checked": [one["id"] for one in results["passes"]],
                    "overflows": page.evaluate("document.documentElement.scrollWidth > window.innerWidth"),
                    "sections": page.evaluate("[...document.querySelectorAll('main section')].map(one => one.id)"),
                    "headings": page.evaluate("[...document.querySelectorAll('h1, h2')].map(one => one.innerText)"),
                    "landmarks": page.evaluate(
                        "['header','nav','main','footer'].map(one => document.querySelectorAll('body > ' + one).length)"
                    ),
                    "links": page.evaluate(
                        "[...document.querySelectorAll('a')].filter(one => !document.querySelector(one.getAttribute('href'))).length"
                    ),
                    "milliseconds": page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"),
                    "text": page.evaluate("document.body.innerText") if scheme == "light" else "",
                }
            )
            context.close()
        browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
