"""Uses the page of resnet serve in a real Chromium, by Playwright, as people do.

Started by TestBrowser with a JSON object: the addresses of servers, a folder with
pictures, and the browser. Prints a line for each part, and "all right" at the end.
"""

import base64
import json
import math
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

from playwright.sync_api import expect, sync_playwright

conf = json.loads(sys.argv[1])
URL = conf["url"]
expect.set_options(timeout=30_000)
seen = []  # what the console and the network had


def file(name):
    return os.path.join(conf["dir"], name)


def ask(path, name=None, base=URL, key=None, **query):
    """Asks the API directly."""
    address = base + path + ("?" + urllib.parse.urlencode(query) if query else "")
    request = urllib.request.Request(address, data=open(file(name), "rb").read() if name else None, headers={"Content-Type": "application/octet-stream"})
    if key:
        request.add_header("Authorization", "Bearer " + key)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def percent(share):
    if 0 < share < 0.0005:
        return "< 0.1 %"
    # as toFixed: halves of what the float really is go up
    return f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def open_page(browser, url=URL, allow=(), **options):
    context = browser.new_context(**options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    # the test's own reading of the layer makes the browser warn of willReadFrequently
    page.on("console", lambda m: m.type in ("error", "warning") and not any(a in m.text for a in (*allow, "willReadFrequently")) and seen.append(f"console: {m.text}"))
    page.on("pageerror", lambda e: seen.append(f"error: {e}"))
    host = urllib.parse.urlsplit(url).netloc
    page.on("request", lambda r: r.url.startswith("http") and urllib.parse.urlsplit(r.url).netloc != host and seen.append(f"request to {r.url}"))
    page.goto(url)
    expect(page.locator("body")).to_have_class("empty")  # the scripts run
    return page


def give(page, *names):
    page.set_input_files("#files", [file(n) for n in names])


def pixels(page, points):
    """The colors of the layer over the picture, at points in shares of its size."""
    return page.evaluate(
        """points => {
        const c = document.getElementById("layer"), g = c.getContext("2d");
        return points.map(([x, y]) => [...g.getImageData(Math.floor(x * (c.width - 1)), Math.floor(y * (c.height - 1)), 1, 1).data]);
    }""",
        points,
    )


def settled(page):
    """Waits until the answers have come and been drawn."""
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#strip")).not_to_contain_text("…")
    page.wait_for_timeout(300)


def shot(page, name):
    if conf["shots"]:
        os.makedirs(conf["shots"], exist_ok=True)
        page.screenshot(path=os.path.join(conf["shots"], name + ".png"), full_page=True)


def classify(page):
    give(page, "one.png", "two.png", "three.png", "four.png")
    settled(page)
    rows = page.locator("#answer button.bar")
    want = ask("v1/classify", "one.png", model="clothes")["results"][0]["predictions"]
    expect(rows).to_have_count(5)
    for i, p in enumerate(want):
        assert rows.nth(i).locator(".name").inner_text() == p["class"], (i, p)
        assert rows.nth(i).locator(".number").inner_text() == percent(p["probability"]), (i, p, rows.nth(i).inner_text())
        width = float(rows.nth(i).locator(".fill").evaluate("e => parseFloat(e.style.width)"))
        assert abs(width - 100 * p["probability"]) < 0.01, (width, p)
    expect(page.locator("#said")).to_contain_text(f"one.png: {want[0]['class']}")
    expect(page.locator("#strip button")).to_have_count(4)
    # another picture, by the keyboard
    third = page.locator("#strip button").nth(2)
    third.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#shown-title")).to_have_text("three.png")
    expect(third).to_have_attribute("aria-current", "true")
    assert third.evaluate("e => e === document.activeElement"), "the focus is lost"
    best = ask("v1/classify", "three.png", model="clothes")["results"][0]["predictions"][0]
    expect(rows.first.locator(".name")).to_have_text(best["class"])


def heat(page):
    page.locator("#strip button").nth(3).click()  # four.png is wide: the model sees its middle
    settled(page)
    rows = page.locator("#answer button.bar")
    assert all(a == 0 for *_, a in pixels(page, [(0.5, 0.5), (0.01, 0.5)]))
    rows.nth(1).focus()
    page.keyboard.press("Enter")
    second = rows.nth(1).locator(".name").inner_text()
    expect(page.locator("#caption")).to_contain_text(f"raise the score of {second}, computed at")
    expect(rows.nth(1)).to_have_attribute("aria-pressed", "true")
    assert rows.nth(1).evaluate("e => e === document.activeElement"), "the focus is lost"
    expect(page.locator("#heat")).to_be_checked()
    answer = ask("v1/classify", "four.png", model="clothes", explain="true", topk=1)["results"][0]["explanation"]
    x, y, w, h = answer["region"]
    assert 0 < x < 0.5 and y == 0 and h == 1 and abs(2 * x + w - 1) < 0.02, answer["region"]
    outside, inside = pixels(page, [(x / 2, 0.5), (0.5, 0.5)])
    assert abs(outside[3] - 140) < 4 and abs(inside[3] - 128) < 4, (outside, inside)
    # the layers, by the keyboard
    layers = ask("v1/models/clothes")["layers"]
    slider = page.locator("#depth")
    assert slider.get_attribute("max") == str(len(layers) - 1)
    assert slider.get_attribute("aria-valuetext") == answer["layer"]
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#caption")).to_contain_text(f"computed at {layers[0]}.")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#caption")).to_contain_text(f"computed at {layers[1]}.")
    expect(slider).to_have_attribute("aria-valuetext", layers[1])
    page.locator("#opacity").fill("100")
    assert pixels(page, [(0.5, 0.5)])[0][3] == 255
    page.locator("#opacity").fill("50")
    rows.nth(0).click()
    expect(rows.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(rows.nth(1)).to_have_attribute("aria-pressed", "false")
    page.locator("#heat").uncheck()
    assert pixels(page, [(0.5, 0.5)])[0][3] == 0
    page.locator("#heat").check()
    expect(page.locator("#caption")).to_contain_text("raise the score of")


def near(page):
    page.locator("#strip button").nth(0).click()
    names = ["one.png", "two.png", "three.png", "four.png"]
    vectors = {n: ask("v1/embed", n, model="clothes")["results"][0]["embedding"] for n in names}

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)

    want = sorted(names[1:], key=lambda n: -cosine(vectors["one.png"], vectors[n]))
    items = page.locator("#near-list button")
    expect(items).to_have_count(3)
    for i, n in enumerate(want):
        assert n in items.nth(i).inner_text(), (want, items.nth(i).inner_text())
        assert f"{cosine(vectors['one.png'], vectors[n]):.3f}" in items.nth(i).inner_text(), items.nth(i).inner_text()
    items.nth(0).click()
    expect(page.locator("#shown-title")).to_have_text(want[0])


def detect(page):
    page.locator("#strip button").nth(0).click()
    page.select_option("#model", label=next(o for o in page.locator("#model option").all_inner_texts() if o.startswith("finder")))
    settled(page)
    objects = ask("v1/detect", "one.png", model="finder", threshold=0)["results"][0]["objects"]
    assert 2 <= len(objects) and max(o["score"] for o in objects) < 0.5
    expect(page.locator("#answer")).to_contain_text("Nothing has a score of 50 % or more.")
    expect(page.locator("#caption")).to_contain_text(f"0 of {len(objects)}")
    middle = (objects[0]["score"] + objects[-1]["score"]) / 2
    step = math.floor(100 * middle)
    page.locator("#threshold").fill(str(step))
    want = [o for o in objects if o["score"] >= step / 100]
    rows = page.locator("#answer button.bar")
    expect(rows).to_have_count(len(want))
    for i, o in enumerate(want):
        assert rows.nth(i).locator(".name").inner_text() == f"{i + 1} {o['class']}"
        assert rows.nth(i).locator(".number").inner_text() == percent(o["score"])
    page.locator("#threshold").fill("0")
    expect(rows).to_have_count(len(objects))
    x, y, w, h = objects[0]["box"]
    size = page.locator("#picture").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    drawn = pixels(page, [((x + w / 2) / size[0], min((y + h) / size[1], 1)), ((x + w) / size[0], (y + h / 2) / size[1])])
    assert any(d[3] == 255 for d in drawn), f"no line of the box at {drawn}"
    rows.nth(0).focus()  # which stresses the box
    # the second object's heat map under its box alone, by the keyboard
    rows.nth(1).focus()
    page.keyboard.press("Enter")
    subject(page, rows, 1, f"the score of 2 {objects[1]['class']}", "v1/detect", "finder", {"object": 1, "threshold": 1})
    lines = pixels(page, [((o["box"][0] + o["box"][2] / 2) / size[0], max(o["box"][1] / size[1], 0)) for o in objects])
    assert lines[1][3] == 255, f"no box over the heat map at {lines}"
    rows.nth(0).click()
    expect(page.locator("#caption")).to_contain_text(f"raise the score of 1 {objects[0]['class']}, computed at")
    page.locator("#threshold").fill(str(math.floor(100 * objects[0]["score"]) + 1))  # nothing is left
    expect(page.locator("#heat-field")).to_be_hidden()
    page.locator("#threshold").fill("0")
    page.locator("#heat").uncheck()
    expect(page.locator("#caption")).to_contain_text("found objects have a score")
    expect(rows.nth(0)).to_have_attribute("aria-pressed", "false")
    # masks as COCO's own code has them, where it is here
    try:
        import numpy
        from pycocotools import mask as coco
    except ImportError:
        print("no pycocotools: masks are not compared")
        return
    rng = numpy.random.default_rng(1)
    for k in range(60):
        h, w = (int(v) for v in rng.integers(1, 40, 2))
        bits = (rng.random((h, w)) < rng.random()).astype(numpy.uint8)
        if k % 3 == 0:
            bits[:] = k % 2
        rle = coco.encode(numpy.asfortranarray(bits))
        rle["counts"] = rle["counts"].decode()
        got = page.evaluate("async ([rle, w, h]) => [...(await import(new URL('js/draw.js', document.baseURI))).maskPixels(rle, w, h)]", [rle, w, h])
        assert got == bits.flatten().tolist(), (k, h, w)
    for o in objects:
        h, w = o["mask"]["size"]
        got = page.evaluate("async ([rle, w, h]) => [...(await import(new URL('js/draw.js', document.baseURI))).maskPixels(rle, w, h)]", [o["mask"], w, h])
        assert got == coco.decode({"size": [h, w], "counts": o["mask"]["counts"].encode()}).flatten().tolist()


def segment(page):
    page.select_option("#model", label=next(o for o in page.locator("#model option").all_inner_texts() if o.startswith("cutter")))
    settled(page)
    result = ask("v1/segment", "one.png", model="cutter")["results"][0]
    rows = page.locator("#answer button.bar")
    expect(rows).to_have_count(min(len(result["areas"]), 12))
    for i, a in enumerate(result["areas"][:12]):
        assert rows.nth(i).locator(".name").inner_text() == a["class"]
        assert rows.nth(i).locator(".number").inner_text() == percent(a["share"])
    # each pixel has its class's color, and the list shows the same color
    page.locator("#opacity").fill("100")
    page.wait_for_timeout(300)
    same = page.evaluate(
        """async mask => {
        const image = new Image();
        image.src = mask;
        await image.decode();
        const layer = document.getElementById("layer"), c = new OffscreenCanvas(image.width, image.height), g = c.getContext("2d");
        g.drawImage(image, 0, 0);
        const want = g.getImageData(0, 0, image.width, image.height).data;
        const k = layer.width / image.width, l = layer.height / image.height;
        let wrong = 0;
        for (let y = 0; y < image.height; y++) {
            for (let x = 0; x < image.width; x++) {
                const got = layer.getContext("2d").getImageData(Math.floor((x + 0.5) * k), Math.floor((y + 0.5) * l), 1, 1).data, w = want.slice(4 * (y * image.width + x));
                const black = !(w[0] || w[1] || w[2]);
                wrong += black ? got[3] !== 0 : got[3] !== 255 || got[0] !== w[0] || got[1] !== w[1] || got[2] !== w[2];
            }
        }
        return [wrong, image.width, image.height, layer.width, layer.height];
    }""",
        result["mask"],
    )
    assert same[0] == 0, same
    page.locator("#opacity").fill("50")
    # the heat map of a class is in the place of the mask
    k = next(i for i, a in enumerate(result["areas"]) if a["index"] != 0)
    rows.nth(k).click()
    area = result["areas"][k]
    subject(page, rows, k, f"the mean score of {area['class']}", "v1/segment", "cutter", {"class": area["class"]})
    page.locator("#heat").uncheck()
    assert page.locator("#caption").inner_text() == ""
    page.locator("#heat").check()  # the largest area beside the background
    expect(page.locator("#caption")).to_contain_text(f"raise the mean score of {area['class']}, computed at")
    page.locator("#heat").uncheck()


def subject(page, rows, k, what, path, model, query):
    """The heat map of row k is drawn as the API has it, and from other layers."""
    caption, slider = page.locator("#caption"), page.locator("#depth")
    expect(caption).to_contain_text(f"Bright parts raise {what}, computed at")
    expect(rows.nth(k)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#answer button.bar[aria-pressed=true]")).to_have_count(1)
    want = ask(path, "one.png", model=model, explain="true", **query)["results"][0]["explanation"]
    expect(caption).to_contain_text(f"computed at {want['layer']}.")
    page.locator("#opacity").fill("100")
    page.wait_for_timeout(300)
    w, h = page.locator("#picture").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    best = max(range(len(want["values"])), key=lambda i: want["values"][i])
    x, y, rw, rh = want["region"]
    share = lambda i: (x + rw * (i % want["width"] + 0.5) / want["width"], y + rh * (i // want["width"] + 0.5) / want["height"])
    inside = [i for i in range(len(want["values"])) if all(0 < v < 1 for v in share(i))]
    worst = min(inside, key=lambda i: want["values"][i])
    if best in inside and want["values"][best] > 0:
        bright, dark = pixels(page, [share(best), share(worst)])
        assert sum(bright[:3]) > sum(dark[:3]) and bright[3] == 255, (bright, dark)
    page.locator("#opacity").fill("50")
    layers = ask("v1/models/" + model)["layers"]
    assert slider.get_attribute("max") == str(len(layers) - 1) and len(layers) > 3, layers
    slider.focus()
    for press, layer in [("Home", layers[0]), ("ArrowRight", layers[1]), ("End", layers[-1])]:
        page.keyboard.press(press)
        expect(caption).to_contain_text(f"Bright parts raise {what}, computed at {layer}.")
        assert slider.get_attribute("aria-valuetext") == layer


def inputs(browser):
    page = open_page(browser, allow=["status of 4", "status of 5", "ERR_FAILED", "Failed to load resource"])
    # a paste and a drop
    data = base64.b64encode(open(file("two.png"), "rb").read()).decode()
    page.evaluate(
        """([data, kind]) => {
        const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), t = new DataTransfer();
        t.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
        dispatchEvent(new ClipboardEvent("paste", { clipboardData: t, bubbles: true, cancelable: true }));
        const d = new DataTransfer();
        d.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
        dispatchEvent(new DragEvent("dragenter", { dataTransfer: d, cancelable: true }));
        if (!document.body.classList.contains("over")) throw new Error("the place to drop is not shown");
        dispatchEvent(new DragEvent("drop", { dataTransfer: d, cancelable: true }));
        if (document.body.classList.contains("over")) throw new Error("the place to drop is still shown");
    }""",
        [data, ""],
    )
    expect(page.locator("#strip button")).to_have_count(2)
    expect(page.locator("#strip")).to_contain_text("pasted.png")
    expect(page.locator("#strip")).to_contain_text("dropped.png")
    page.evaluate("() => dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true }))")
    expect(page.locator("#trouble")).to_contain_text("That was no file.")
    # the camera, a fake one
    page.click("#photograph")
    expect(page.locator("#camera-dialog")).to_be_visible()
    expect(page.locator("#shoot")).to_be_enabled()
    page.click("#shoot")
    expect(page.locator("#shown-title")).to_have_text("photo 1.jpg")
    settled(page)
    page.click("#photograph")
    page.keyboard.press("Escape")
    expect(page.locator("#camera-dialog")).to_be_hidden()
    # what is no picture
    give(page, "notes.txt")
    expect(page.locator("#trouble")).to_have_text("notes.txt is not a picture.")
    give(page, "broken.png")
    expect(page.locator("#answer .error")).to_be_visible()
    text = page.locator("#answer .error").inner_text()
    assert re.match(r"^[A-Z].*\.$", text, re.S) and "{" not in text, text
    expect(page.locator("#strip li:last-child")).to_contain_text("failed")
    expect(page.locator("#near-note")).to_contain_text("This picture cannot be compared.")
    # what the browser cannot show, the server draws
    give(page, "gray.pgm")
    expect(page.locator("#no-display")).to_be_visible()
    expect(page.locator("#answer button.bar")).to_have_count(5)
    page.locator("#heat").check()
    expect(page.locator("#picture")).to_have_attribute("alt", re.compile("under a heat map"))
    assert page.locator("#picture").evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
    # errors of the server, in plain words
    for status, body, want in [
        (413, {"error": "the body is larger than the limit of 5 bytes"}, "The picture is too large for this server. The body is larger than the limit of 5 bytes."),
        (422, {"error": "the picture has a value that is not finite"}, "The picture has a value that is not finite."),
        (429, {"error": "the queue is full: try again later"}, "The server is busy. Try again in a moment. The queue is full: try again later."),
        (500, {"error": "the request failed", "request_id": "abc"}, "The server failed. The request failed. Its log has more about the request abc."),
        (504, {"error": "the answer did not come before the request's deadline"}, "The server was too busy to answer in time. Try again. The answer did not come before the request's deadline."),
        (502, None, "Something between this page and the server answered with status 502, not the server itself."),
    ]:
        page.route("**/v1/classify*", lambda route: route.fulfill(status=status, body=json.dumps(body) if body else "<html>bad gateway</html>"))
        give(page, "three.png")
        expect(page.locator("#answer .error")).to_have_text(want)
        page.unroute("**/v1/classify*")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#answer button.bar")).to_have_count(5)
        page.click("#remove")
    # a busy server is asked again when it wants to be
    tries = []

    def busy(route):
        tries.append(1)
        if len(tries) < 3:
            route.fulfill(status=429, headers={"Retry-After": "1"}, body='{"error": "the queue is full"}')
        else:
            route.fallback()

    page.route("**/v1/classify*", busy)
    give(page, "three.png")
    expect(page.locator("#shown-title")).to_have_text("three.png")  # the bars before are of another picture
    expect(page.locator("#answer button.bar")).to_have_count(5)
    assert len(tries) >= 3, tries
    page.unroute("**/v1/classify*")
    # the server goes away and comes back
    page.route("**/v1/status", lambda route: route.abort())
    expect(page.locator("#trouble")).to_contain_text("The server does not answer.")
    page.unroute("**/v1/status")
    expect(page.locator("#trouble")).to_be_hidden()
    page.click("#remove-all")
    expect(page.locator("#strip")).to_be_hidden()
    expect(page.locator("#shown")).to_be_hidden()
    expect(page.locator("#choose")).to_be_focused()
    page.context.close()


def keyboard(page):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    assert chooser.value.is_multiple()
    page.locator("#tab-curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-go")).to_be_focused()
    expect(page.locator("#snippet")).to_contain_text("package main")
    page.keyboard.press("End")
    expect(page.locator("#tab-python")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-curl")).to_be_focused()


def snippets(page, task, want):
    """Runs what the page shows, as it is."""
    for tab, name in [("curl", "snippet.sh"), ("go", "snippet.go"), ("python", "snippet.py")]:
        page.click(f"#tab-{tab}")
        page.click("#copy")
        expect(page.locator("#copy")).to_have_text("Copied")
        text = page.evaluate("() => navigator.clipboard.readText()")
        assert text == page.locator("#snippet-text").text_content()
        with open(file(name), "w") as f:
            f.write(text)
        command = {"curl": ["bash", name], "go": ["go", "run", name], "python": [sys.executable, name]}[tab]
        env = {**os.environ, "GOFLAGS": "", "GO111MODULE": "off"}
        done = subprocess.run(command, cwd=conf["dir"], env=env, capture_output=True, text=True)
        assert done.returncode == 0, (task, tab, done.stderr)
        out = done.stdout
        if tab == "curl":
            result = json.loads(out)["results"][0]
            got = [p["class"] for p in result.get("predictions") or result.get("objects") or result.get("areas") or []]
        else:
            got = [c for c in out.splitlines() if c]
            assert all(g.startswith(w + " ") for g, w in zip(got, want)), (task, tab, got, want)
            got = want if len(got) == len(want) else got
        assert got == want, (task, tab, got, want)
        expect(page.locator("#copy")).to_have_text("Copy")


def charts(page):
    expect(page.locator("#queue polyline.a")).not_to_have_count(0)
    expect(page.locator("#queue-text")).to_contain_text("Now: ")
    page.select_option("#model", index=0)
    for _ in range(3):
        ask("v1/classify", "one.png", model="clothes")
    expect(page.locator("#latency polyline.a")).not_to_have_count(0)
    expect(page.locator("#latency-text")).to_contain_text("Now: half of the requests within")
    expect(page.locator("#figures")).to_contain_text("Latency p99")
    assert page.locator("#figures dd").first.inner_text() != "0.0"


def reload(page):
    """The picker follows what is loaded."""
    for verb, text in [("unload", "finder (not ready)"), ("load", "finder (detection, 4 classes)")]:
        urllib.request.urlopen(urllib.request.Request(f"{URL}v2/repository/models/finder/{verb}", data=b"{}")).read()
        expect(page.locator("#model option").nth(1)).to_have_text(text)
    # a model that is loaded anew is asked again
    with page.expect_request("**/v1/classify*"):
        urllib.request.urlopen(urllib.request.Request(f"{URL}v2/repository/models/clothes/load", data=b"{}")).read()
    settled(page)


def locked(browser):
    page = open_page(browser, conf["locked"], allow=["401"])
    expect(page.locator("#key-dialog")).to_be_visible()
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-why")).to_have_text("The server does not accept this API key.")
    page.fill("#key", conf["key"])
    page.keyboard.press("Enter")
    expect(page.locator("#key-dialog")).to_be_hidden()
    expect(page.locator("#model option")).to_have_text(["clothes (classification, 10 classes)"])
    expect(page.locator("#trouble")).to_be_hidden()
    give(page, "one.png")
    settled(page)
    want = [p["class"] for p in ask("v1/classify", "photo.jpg", base=conf["locked"], key=conf["key"])["results"][0]["predictions"]]
    snippets(page, "with a key", want)
    page.reload()
    expect(page.locator("#model option")).to_have_text(["clothes (classification, 10 classes)"])
    page.context.close()


def mounted(browser):
    """Elsewhere than at /, with a model of two versions."""
    page = open_page(browser, conf["mounted"])
    expect(page.locator("#model option")).to_have_text([f"A.b_c-1, version {v} (classification, 10 classes)" for v in (12, 1)])
    page.select_option("#model", index=1)
    give(page, "one.png")
    expect(page.locator("#answer button.bar")).to_have_count(5)
    want = [p["class"] for p in ask("v1/classify", "photo.jpg", base=conf["mounted"])["results"][0]["predictions"]]
    snippets(page, "of two versions", want)
    expect(page.locator("#snippet")).to_contain_text("model=A.b_c-1&version=1\"")
    page.locator("#heat").check()
    expect(page.locator("#caption")).to_contain_text("raise the score of")
    page.context.close()


def only(browser):
    """A server without a model that compares pictures says so."""
    page = open_page(browser, conf["only"])
    give(page, "one.png", "two.png")
    settled(page)
    expect(page.locator("#near-note")).to_contain_text("No model of this server compares pictures")
    page.context.close()


def fits(page, what):
    wide, all = page.evaluate("() => [innerWidth, document.documentElement.scrollWidth]")
    assert all <= wide, f"{what}: the page is {all} wide on {wide}"


def accessible(page, what):
    if not conf["axe"]:
        return
    page.evaluate(open(conf["axe"]).read())
    found = page.evaluate("() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })")
    bad = [(v["id"], v["help"], [n["target"] for n in v["nodes"]][:4]) for v in found["violations"]]
    assert not bad, (what, bad)
    assert len(found["passes"]) > 15


def look(browser):
    """Every state, on a desk and on a phone, in light and dark."""
    for device, options in [
        ("desktop", {"viewport": {"width": 1280, "height": 860}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}),
        ("narrow", {"viewport": {"width": 320, "height": 600}}),
    ]:
        for scheme in ["light", "dark"]:
            if device == "narrow" and scheme == "dark":
                continue
            page = open_page(browser, color_scheme=scheme, **options)
            expect(page.locator("#figures dt")).to_have_count(8)
            states = [("empty", lambda: None)]

            def classified():
                give(page, "one.png", "two.png", "three.png", "four.png")
                settled(page)
                page.locator("#heat").check()
                expect(page.locator("#caption")).to_contain_text("raise the score of")

            def detected():
                page.select_option("#model", index=1)
                settled(page)
                page.locator("#threshold").fill("10")

            def segmented():
                page.select_option("#model", index=2)
                settled(page)

            def heated():
                page.locator("#heat").check()
                expect(page.locator("#caption")).to_contain_text("raise the")

            states += [("classified", classified), ("detected", detected), ("detected-heat", heated), ("segmented", segmented), ("segmented-heat", heated)]
            for name, go in states:
                go()
                page.wait_for_timeout(200)
                what = f"{device}-{scheme}-{name}"
                fits(page, what)
                accessible(page, what)
                shot(page, what)
            page.context.close()


with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=conf["chromium"], args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
    page = open_page(browser)
    parts = [keyboard, classify, heat, near]
    for part in parts:
        part(page)
        print("ok", part.__name__)
    snippets(page, "classification", [q["class"] for q in ask("v1/classify", "photo.jpg", model="clothes")["results"][0]["predictions"]])
    detect(page)
    print("ok detect")
    snippets(page, "detection", [o["class"] for o in ask("v1/detect", "photo.jpg", model="finder")["results"][0]["objects"]])
    segment(page)
    print("ok segment")
    snippets(page, "segmentation", [a["class"] for a in ask("v1/segment", "photo.jpg", model="cutter")["results"][0]["areas"]])
    print("ok snippets")
    for part in [charts, reload]:
        part(page)
        print("ok", part.__name__)
    page.context.close()
    for part in [inputs, locked, mounted, only, look]:
        part(browser)
        print("ok", part.__name__)
    browser.close()
    assert not seen, seen
    print("accessibility was checked by axe-core" if conf["axe"] else "RESNET_AXE names no axe.min.js: accessibility was not checked by it")
    print("all right")
