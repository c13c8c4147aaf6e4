"""Uses a page of resnet map in a real Chromium, by Playwright, as people do.

Started by TestBrowser with a JSON object: the page, the browser, the number of pictures,
a folder for screenshots or "". Prints "all right" at the end.
"""

import json
import os
import pathlib
import sys

from playwright.sync_api import expect, sync_playwright

conf = json.loads(sys.argv[1])
expect.set_options(timeout=20_000)
seen = []

INK = """() => { const c = document.getElementById('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (d.length / 4); }"""

# Where a picture is on the map.
SPOT = """() => { const c = document.getElementById('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height), r = c.width / c.clientWidth;
      for (let y = 60; y < c.height - 60; y += 3) for (let x = 60; x < c.width - 60; x += 3) if (d.data[4 * (y * c.width + x) + 3] > 200) return [x / r + 5, y / r + 8]; }"""


def open_page(browser, **options):
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda m: m.type in ("error", "warning") and "willReadFrequently" not in m.text and seen.append("console: " + m.text))
    page.on("pageerror", lambda e: seen.append(f"error: {e}"))
    page.on("request", lambda r: not r.url.startswith(("file:", "data:")) and seen.append("request to " + r.url))
    page.goto(pathlib.Path(conf["page"]).as_uri())
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.wait_for_function("(" + INK + ")() > 0.005")
    return page


def shot(page, name, **options):
    if conf["screenshots"]:
        page.screenshot(path=os.path.join(conf["screenshots"], name + ".png"), **options)


def narrow(page):
    w = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert w[0] <= w[1], f"the page is {w[0]} wide in a window of {w[1]}"


def contrast(page):
    """The least contrast of texts to what is behind them."""
    return page.evaluate("""() => {
      const rgb = s => s.match(/[\\d.]+/g).map(Number);
      const lum = c => { const f = c.slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
      let least = 99;
      for (const e of document.querySelectorAll('h1, h2, h3, p, span, dt, dd, label, button')) {
        if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || e.closest('.skip, .hidden')) continue;
        let b = e; while (b && rgb(getComputedStyle(b).backgroundColor)[3] === 0) b = b.parentElement;
        const x = lum(rgb(getComputedStyle(e).color)), y = lum(rgb(getComputedStyle(b || document.documentElement).backgroundColor));
        least = Math.min(least, (Math.max(x, y) + .05) / (Math.min(x, y) + .05));
      }
      return least; }""")


def desk(browser, scheme):
    page = open_page(browser, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    narrow(page)
    assert contrast(page) >= 4.5, contrast(page)
    shot(page, "desk-" + scheme)
    # Keys: the first arrow chooses a picture, others go on.
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#facts dd").first).to_be_visible()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator("#said").inner_text(), "no picture is chosen"
    expect(page.locator("#near li")).to_have_count(min(12, conf["pictures"] - 1))
    # A neighbor is chosen in turn.
    page.locator("#near button").nth(0).focus()
    before = page.locator("#said").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).not_to_have_text(before)
    # Pointer: hovering shows a picture, pressing chooses it, the wheel zooms.
    spot = page.evaluate(SPOT)
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + spot[0], box["y"] + spot[1])
    expect(page.locator("#tip")).to_be_visible()
    shot(page, "hover-" + scheme)
    name = page.locator("#tip div").first.inner_text()
    page.mouse.click(box["x"] + spot[0], box["y"] + spot[1])
    assert page.locator("#said").inner_text().endswith(name), (name, page.locator("#said").inner_text())
    ink = page.evaluate(INK)
    page.mouse.move(box["x"] + spot[0], box["y"] + spot[1])
    for _ in range(4):
        page.mouse.wheel(0, -300)
    page.wait_for_function(f"Math.abs(({INK})() - {ink}) > 0.001")
    shot(page, "zoomed-" + scheme)
    page.locator("#whole").click()
    # Legend, search.
    if page.locator("#by").is_visible():
        page.locator("#by").select_option("group")
    page.locator("#legend button").first.click()
    expect(page.locator("#legend button").first).to_have_attribute("aria-pressed", "true")
    page.locator("#legend button").first.click()
    page.locator("#find").fill("no such picture")
    expect(page.locator("#said")).to_contain_text(f"0 of {conf['pictures']}")
    page.locator("#find").fill("")
    page.locator("#pictures").uncheck()
    shot(page, "whole-" + scheme, full_page=True)
    page.context.close()


def phone(browser, scheme):
    page = open_page(browser, viewport={"width": 390, "height": 780}, device_scale_factor=2, has_touch=True, is_mobile=True, color_scheme=scheme)
    narrow(page)
    shot(page, "phone-" + scheme)
    small = page.evaluate("[...document.querySelectorAll('button, select, input[type=search]')].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 40).length")
    assert small == 0, f"{small} controls are too small for a finger"
    box = page.locator("#canvas").bounding_box()
    spot = page.evaluate(SPOT)
    page.touchscreen.tap(box["x"] + spot[0], box["y"] + spot[1])
    expect(page.locator("#tip")).to_be_visible()
    expect(page.locator("#near button").first).to_be_visible()
    shot(page, "phone-chosen-" + scheme, full_page=True)
    page.context.close()


with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=conf["chromium"], args=["--no-sandbox"])
    for scheme in ("light", "dark"):
        desk(browser, scheme)
        phone(browser, scheme)
    browser.close()
if seen:
    sys.exit("\n".join(seen))
print("all right")
