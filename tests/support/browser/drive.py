"""Does what a person does on a page, in Chromium. Runs in the environment `browser`, without the project.

    drive.py CHROMIUM < SCENARIO

The scenario is JSON: `url`, `width`, `scheme`, `steps`. A step is a list: the name of a method of `Person`, and its
arguments. What the steps return that return something is printed as JSON, with the console's messages and the requests.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright
from visit import FLAGS


class Person:
    """One page in a browser of its own. The page's content security policy holds."""

    def __init__(self, browser: Browser, scenario: dict[str, Any]) -> None:
        view = {"viewport": {"width": scenario.get("width", 1280), "height": 900}}
        self._context = browser.new_context(
            **view,
            color_scheme=scenario.get("scheme", "light"),
            permissions=["clipboard-read", "clipboard-write"],
            ignore_https_errors=True,
        )
        self.console: list[str] = []
        self.requests: list[str] = []
        self._held: list[Route] = []
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(f"{request.method} {request.url}"))
        self.page.goto(scenario["url"])

    def fill(self, selector: str, text: str) -> None:
        self.page.locator(selector).fill(text)

    def choose(self, selector: str, label: str) -> None:
        self.page.locator(selector).select_option(label=label)

    def click(self, selector: str) -> None:
        self.page.locator(selector).click()

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def see(self, selector: str, text: str) -> None:
        """Waits until an element is visible and has a text."""
        self.page.locator(selector).filter(has_text=text).first.wait_for(timeout=60_000)

    def gone(self, selector: str) -> None:
        """Waits until no such element is visible."""
        self.page.locator(selector).first.wait_for(state="hidden", timeout=60_000)

    def read(self, selector: str) -> list[str]:
        """The texts of the visible elements."""
        return [one.inner_text() for one in self.page.locator(selector).all() if one.is_visible()]

    def evaluate(self, script: str) -> Any:
        """The value of an expression."""
        return self.page.evaluate(script)

    def clipboard(self) -> str:
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def picture(self, path: str) -> None:
        self.page.screenshot(path=path, full_page=True)

    def offline(self) -> None:
        self._context.set_offline(True)

    def hold(self, pattern: str, body: str) -> None:
        """Keeps the next request to such an address, with this in its body, until `release`."""

        def decide(route: Route) -> None:
            if self._held or body not in (route.request.post_data or ""):
                route.continue_()
            else:
                self._held.append(route)

        self.page.route(pattern, decide)

    def release(self) -> None:
        for route in self._held:
            with contextlib.suppress(Error):  # the page no longer waits for it
                route.continue_()

    def reply(self, pattern: str, status: int, body: str) -> None:
        """Answers the next request to such an address in place of the server."""
        self.page.route(pattern, lambda route: route.fulfill(status=status, body=body), times=1)

    def violations(self) -> list[list[str]]:
        """What the accessibility checker finds."""
        found = Axe().run(self.page).response["violations"]
        return [[one["id"], *(node["html"][:300] for node in one["nodes"])] for one in found]


def main(chromium: str) -> None:
    scenario = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        person = Person(browser, scenario)
        results = [getattr(person, name)(*arguments) for name, *arguments in scenario["steps"]]
        browser.close()
    answer = {"results": [one for one in results if one is not None]}
    sys.stdout.write(json.dumps({**answer, "console": person.console, "requests": person.requests}))


if __name__ == "__main__":
    main(*sys.argv[1:])
