#!/usr/bin/python3
"""Pictures of all kinds with Pillow's pixels, in data/testdata/pictures.zip.

Made with Pillow 13.0.0, numpy 2.4.6, cjpeg and jpegtran of libjpeg-turbo 2.1.5, tiffcp
of libtiff 4.5.0. All pictures are made here, none is anybody's. Run:

    python3 data/testdata/gen/pictures.py [--out FILE.zip] [--rounds N] [--seed N]

The zip has index.json, a list of {"file", "kind", "width", "height", "limit", "error",
"sha256", "reduced"} and for each file, if it has no "sha256" of them, the pixels,
FILE.ppm: Pillow's after exif_transpose and convert("RGB"), from which values may differ
by the limit, if there is one; or, with "error", a pattern of the message instead.
"reduced" has the sha256 of the pixels for each scale of 2, 4 and 8 that Image.draft gives
for the file. Flaws that Pillow refuses and libjpeg or libpng pass over are read with
LOAD_TRUNCATED_IMAGES. A larger zip, of more rounds, is compared with
RESNET_PICTURES=FILE.zip go test ./data/imaging -run TestPictures
"""

import argparse
import hashlib
import io
import json
import os
import random
import struct
import subprocess
import tempfile
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

HERE = os.path.dirname(os.path.abspath(__file__))
random_ = random.Random()
index, contents = [], {}


def pixels(w, h, channels=3):
    """A random picture: noise, a gradient, or areas."""
    rng = np.random.default_rng(random_.getrandbits(32))
    y, x = np.mgrid[0:h, 0:w]
    kind = random_.randrange(3)
    if kind == 0:
        a = rng.integers(0, 256, (h, w, channels))
    else:
        k = rng.uniform(-6, 6, (2, channels))
        a = rng.uniform(40, 200, channels) + x[..., None] * k[0] + y[..., None] * k[1]
        if kind == 2:
            a = a + 90 * (((x // 5 + y // 4) % 2)[..., None] * 2 - 1)
        a = a + rng.normal(0, 4, a.shape)
    return a.clip(0, 255).astype(np.uint8)


MOST = 60  # pixels in a row and in a column


def size(least=1, most=None):
    most = max(least + 2, most or MOST)
    return random_.randint(least, most), random_.randint(least, most)


def picture(mode="RGB", least=1, most=None):
    w, h = size(least, most)
    return Image.fromarray(pixels(w, h, 3)).convert(mode)


def saved(im, kind, **k):
    f = io.BytesIO()
    im.save(f, kind, **k)
    return f.getvalue()


def expected(data, lenient):
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    try:
        im = Image.open(io.BytesIO(data))
        im = ImageOps.exif_transpose(im)
        if im.mode.startswith("I;16"):  # the upper byte, not clipped at 255
            im = Image.fromarray((np.asarray(im) >> 8).astype(np.uint8))
        elif im.mode == "I":
            im = Image.fromarray((np.asarray(im).clip(0, 65535) / 65535 * 255).round().astype(np.uint8))
        return im.convert("RGB")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def reduced(data, lenient):
    """The hashes of a JPEG's pixels at reduced sizes."""
    out = {}
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    try:
        for scale in 2, 4, 8:
            im = Image.open(io.BytesIO(data))
            w, h = im.size
            im.draft(im.mode, (max(1, w // scale), max(1, h // scale)))
            try:
                if im.size == (-(-w // scale), -(-h // scale)):
                    out[str(scale)] = hashlib.sha256(im.convert("RGB").tobytes()).hexdigest()
            except OSError as e:  # of a lossless file
                skipped_why[f"1/{scale}"] = str(e)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return out


def add(kind, ending, data, limit=0, lenient=False, want=None):
    """Adds a file that Pillow opens; one that it refuses is left out."""
    name = f"{kind}-{sum(e['kind'] == kind for e in index)}.{ending}"
    if want is None:
        try:
            want = expected(data, lenient)
        except Exception as e:
            skipped[kind] = skipped.get(kind, 0) + 1
            skipped_why[kind] = str(e)
            return
    entry = {"file": name, "kind": kind, "width": want.width, "height": want.height}
    if limit:
        entry["limit"] = limit
    if kind.startswith("jpeg"):
        entry["reduced"] = reduced(data, lenient)
    index.append(entry)
    contents[name] = data
    contents[name + ".ppm"] = saved(want.convert("RGB"), "PPM")


skipped, skipped_why = {}, {}


def refuse(kind, ending, data, error):
    name = f"{kind}-{sum(e['kind'] == kind for e in index)}.{ending}"
    index.append({"file": name, "kind": kind, "error": error})
    contents[name] = data


def tool(*args, data=b"", suffix=""):
    """Runs a program that reads its last argument and writes to standard output or a file."""
    with tempfile.TemporaryDirectory() as d:
        src, dst = os.path.join(d, "in" + suffix), os.path.join(d, "out" + suffix)
        with open(src, "wb") as f:
            f.write(data)
        args = [src if a == "IN" else dst if a == "OUT" else a for a in args]
        p = subprocess.run(args, capture_output=True)
        if p.returncode != 0:
            raise RuntimeError(f"{args}: {p.stderr.decode()}")
        if os.path.exists(dst):
            with open(dst, "rb") as f:
                return f.read()
        return p.stdout


# ---- JPEG ----

def segments(data):
    """The markers before the first scan's data: (marker, start, end)."""
    at, out = 2, []
    while True:
        assert data[at] == 0xFF
        n = struct.unpack(">H", data[at + 2 : at + 4])[0]
        out.append((data[at + 1], at, at + 2 + n))
        at += 2 + n
        if out[-1][0] == 0xDA:
            return out


def without(data, *markers):
    for m, s, e in reversed(segments(data)):
        if m in markers:
            data = data[:s] + data[e:]
    return data


SAMPLES = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "2x2,2x1,2x1", "2x2,1x2,1x2", "2x2,2x1,1x2", "1x1,2x2,2x2", "2x1,1x1,2x1", "3x1", "1x3", "3x2", "4x2,2x1,2x1", "2x2,1x1,2x2"]


def cjpeg(im, *args):
    return tool("cjpeg", *args, "-outfile", "OUT", "IN", data=saved(im, "PPM"))


def quality():
    return str(random_.choice([10, 50, 75, 90, 95, 100]))


def jpeg_plain():
    for sample in SAMPLES:
        im = picture()
        try:
            add("jpeg-sampling", "jpg", cjpeg(im, "-quality", quality(), "-sample", sample))
            add("jpeg-progressive", "jpg", cjpeg(im, "-quality", quality(), "-sample", sample, "-progressive"))
            add("jpeg-arithmetic", "jpg", cjpeg(im, "-quality", quality(), "-sample", sample, "-arithmetic"))
            add("jpeg-arithmetic", "jpg", cjpeg(im, "-quality", quality(), "-sample", sample, "-arithmetic", "-progressive"))
        except RuntimeError as e:
            skipped_why["cjpeg " + sample] = str(e)
    for _ in range(4):
        sample = random_.choice(SAMPLES[:8])
        for extra in ([], ["-progressive"], ["-arithmetic"], ["-progressive", "-arithmetic"]):
            for restart in (f"{random_.randint(1, 9)}B", str(random_.randint(1, 2))):
                add("jpeg-restart", "jpg", cjpeg(picture(), "-quality", quality(), "-sample", sample, "-restart", restart, *extra))
        add("jpeg-gray", "jpg", saved(picture("L"), "JPEG", quality=int(quality()), progressive=random_.random() < 0.5))
        add("jpeg-gray", "jpg", cjpeg(picture(), "-grayscale", "-sample", random_.choice(["1x1", "2x2", "2x1"]), "-restart", "3B", "-quality", quality()))
        add("jpeg-rgb", "jpg", cjpeg(picture(), "-rgb", "-quality", quality()))
        add("jpeg-rgb", "jpg", cjpeg(picture(), "-rgb", "-progressive", "-sample", "2x2,1x1,1x1", "-quality", quality()))
        scans = random_.choice(["0;1;2;", "0;1 2;", "1;0 2;", "0 1;2;", "2;1;0;"])
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
            f.write(scans.replace(";", ";\n"))
            f.flush()
            for extra in ([], ["-arithmetic"], ["-restart", f"{random_.randint(1, 5)}B"]):
                add("jpeg-scans", "jpg", cjpeg(picture(), "-scans", f.name, "-sample", sample, *extra))


def jpeg_models():
    for progressive in (False, True):
        b = saved(picture("CMYK"), "JPEG", quality=int(quality()), progressive=progressive)
        add("jpeg-cmyk", "jpg", b)
        add("jpeg-cmyk", "jpg", without(b, 0xEE))
        y = bytearray(b)
        for m, s, e in segments(b):
            if m == 0xEE:
                y[e - 1] = 2
        add("jpeg-ycck", "jpg", bytes(y))
        # Sampling factors of 2x2, 1x1, 1x1, 2x2: the data are then of another picture.
        for m, s, e in segments(b):
            if m == 0xC0:
                z = bytearray(y)
                z[s + 11], z[s + 20] = 0x22, 0x22
                add("jpeg-ycck", "jpg", bytes(z), lenient=True)
    b = saved(picture(), "JPEG", quality=90)
    for name in (b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\1", b"Adobe\0d\0\0\0\0\2"):
        app14 = b"\xff\xee" + struct.pack(">H", 2 + len(name)) + name
        add("jpeg-marker", "jpg", b[:2] + app14 + without(b, 0xE0)[2:])
        add("jpeg-marker", "jpg", b[:2] + app14 + b[2:])
    add("jpeg-marker", "jpg", without(b, 0xE0))
    for ids in (b"RGB", b"\0\1\2", b"YCC", b"\1\1\1"):
        z = bytearray(without(b, 0xE0))
        for m, s, e in segments(bytes(z)):
            if m == 0xC0:
                z[s + 10], z[s + 13], z[s + 16] = ids
            if m == 0xDA:
                z[s + 5], z[s + 7], z[s + 9] = ids
        add("jpeg-marker", "jpg", bytes(z))


def scan_data(b):
    """Where the entropy-coded data of the first scan are, and where they end."""
    start = segments(b)[-1][2]
    at = start
    while not (b[at] == 0xFF and b[at + 1] != 0 and not 0xD0 <= b[at + 1] <= 0xD7):
        at += 1
    return start, at


def jpeg_flaws():
    for progressive in (False, True):
        for gray in (False, True):
            im = picture("L" if gray else "RGB", 8)
            b = saved(im, "JPEG", quality=85, progressive=progressive)
            add("jpeg-no-end", "jpg", b[:-2], lenient=True)
            add("jpeg-no-end", "jpg", b[:-1], lenient=True)
            add("jpeg-after", "jpg", b + bytes(9))
            if not progressive:
                add("jpeg-no-tables", "jpg", without(b, 0xC4))
            s = segments(b)
            add("jpeg-fill", "jpg", b[: s[2][1]] + b"\xff\xff\xff" + b[s[2][1] :])
            add("jpeg-fill", "jpg", b[: s[2][1]] + b"\x00\x12\xff\x00" + b[s[2][1] :])
    for _ in range(30):
        args = random_.choice([[], ["-restart", f"{random_.randint(1, 6)}B"], ["-restart", "1"]])
        args = args + random_.choice([[], [], ["-progressive"], ["-arithmetic"], ["-progressive", "-arithmetic"]])
        b = bytearray(cjpeg(picture("RGB", 16), "-quality", "80", "-sample", random_.choice(SAMPLES[:6]), *args))
        start, end = scan_data(b)
        n = random_.randint(1, 12)
        at = random_.randrange(start, max(end - n, start + 1))
        damage = random_.randrange(7)
        if damage == 0:
            b[at : at + n] = bytes(n)
        elif damage == 1:
            for i in range(at, min(at + n, end)):
                b[i] = random_.randrange(255)
        elif damage == 2:
            b[at:at] = bytes([0xFF, 0xD0 + random_.randrange(8)])
        elif damage == 3:
            del b[at : at + n]
        elif damage == 4:
            b = b[:at] + b"\xff\xd9"
        elif damage == 5:
            i = b.find(b"\xff\xd1", start)
            if i > 0:
                b[i : i + 2] = random_.choice([b"", b"\xff\xd0", b"\xff\xd2", b"\xff\xd4", b"\xff\xd7", b"\xff\x02"])
        else:
            b[at] ^= 1 << random_.randrange(8)
        add("jpeg-damaged", "jpg", bytes(b))


def jpeg_extreme():
    """Coefficients far out of range, by other quantization tables than the data's."""
    for _ in range(4):
        for args in ([], ["-progressive"], ["-arithmetic"]):
            b = cjpeg(picture(least=9), "-quality", quality(), "-sample", random_.choice(SAMPLES[:6]), *args)
            tables, wide = b"", random_.random() < 0.5
            most = random_.choice([20, 255] + [2000, 65535] * wide)
            for n in range(2):
                steps = [random_.randint(0 if random_.random() < 0.1 else 1, most) for _ in range(64)]
                tables += struct.pack(">B64H" if wide else ">B64B", n | wide << 4, *steps)
            b = without(b, 0xDB)
            add("jpeg-extreme", "jpg", b[:2] + b"\xff\xdb" + struct.pack(">H", 2 + len(tables)) + tables + b[2:])


def jpeg_incomplete():
    """Progressive files without some of their last scans, whose blocks libjpeg smooths."""
    for _ in range(6):
        for args in ([], ["-arithmetic"]):
            im = picture("RGB", 8)
            b = cjpeg(im, "-quality", quality(), "-sample", random_.choice(SAMPLES[:6]), "-progressive", *args)
            if random_.random() < 0.2:
                b = saved(im.convert(random_.choice(["L", "CMYK"])), "JPEG", progressive=True)
            scans = [i for i in range(len(b) - 1) if b[i] == 0xFF and b[i + 1] == 0xDA]
            # Before the tables of the scan that is left out.
            at = random_.choice(scans[1:])
            while b.rfind(b"\xff\xc4", 0, at) > b.rfind(b"\xff\xda", 0, at):
                at = b.rfind(b"\xff\xc4", 0, at)
            add("jpeg-incomplete", "jpg", b[:at] + b"\xff\xd9")
            start = b.rfind(b"\xff\xda", 0, at)
            start += 2 + struct.unpack(">H", b[start + 2 : start + 4])[0]
            add("jpeg-ended", "jpg", b[: random_.randint(start + 1, at)] + b"\xff\xd9")


def jpeg_lossless():
    try:
        import imagecodecs
    except ImportError:
        print("imagecodecs is not installed: no lossless JPEG")
        return
    for predictor in range(1, 8):
        w, h = size()
        for a in (pixels(w, h, 3), pixels(w, h, 1)[..., 0]):
            add("jpeg-lossless", "jpg", imagecodecs.jpeg_encode(a, lossless=True, predictor=predictor))


def jpeg_refused():
    b = saved(picture("L"), "JPEG")
    for m, s, e in segments(b):
        if m == 0xC0:
            for what, i, v, why in (("bits", s + 4, 12, "12 bits"), ("process", s + 1, 0xC5, "hierarchical"), ("process", s + 1, 0xCB, "lossless with arithmetic"), ("components", s + 9, 2, "SOF has wrong length|components")):
                z = bytearray(b)
                z[i] = v
                refuse("jpeg-" + what, "jpg", bytes(z), why)
    refuse("jpeg-cut", "jpg", b[: len(b) * 2 // 3], "cut off")


# ---- PNG ----


def chunk(name, data, bad=False):
    crc = zlib.crc32(name + data) ^ (1 if bad else 0)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(color, bits, interlaced, extra=(), surplus=b"", bad_idat=False, end=True):
    """A PNG file of random samples, whose rows have random filters."""
    w, h = size(1, 40)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    a = pixels(w, h, channels).astype(np.uint32)
    a = a >> (8 - bits) if bits <= 8 else a * 256 + pixels(w, h, channels)
    rows = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = a[y0::dy, x0::dx]
        if part.size == 0:
            continue
        bpp = max(1, channels * bits // 8)
        above = None
        for row in part:
            v = row.reshape(-1)
            if bits == 16:
                raw = v.astype(">u2").tobytes()
            else:
                text = "".join(format(int(i), f"0{bits}b") for i in v)
                text += "0" * (-len(text) % 8)
                raw = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
            above = above or bytes(len(raw))
            kind = random_.randrange(5)
            out = bytearray()
            for i, c in enumerate(raw):
                left = raw[i - bpp] if i >= bpp else 0
                up, corner = above[i], above[i - bpp] if i >= bpp else 0
                p = left + up - corner
                paeth = min((left, up, corner), key=lambda q: abs(p - q))
                out.append((c - (0, left, up, (left + up) // 2, paeth)[kind]) & 255)
            rows += bytes([kind]) + bytes(out)
            above = raw
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, color, 0, 0, int(interlaced)))
    palette = chunk(b"PLTE", bytes(random_.randrange(256) for _ in range(3 << bits))) if color == 3 else b""
    for c in extra:
        data += c
    z = zlib.compress(rows + surplus)
    cut = random_.randrange(len(z))
    data += palette + chunk(b"IDAT", z[:cut], bad_idat) + chunk(b"IDAT", z[cut:])
    return data + (chunk(b"IEND", b"") if end else b"")


def pngs():
    for color, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for bits in depths:
            for interlaced in (False, True):
                add("png", "png", png(color, bits, interlaced))
    add("png-transparent", "png", png(0, 8, False, [chunk(b"tRNS", b"\0\x40")]))
    add("png-transparent", "png", png(2, 8, True, [chunk(b"tRNS", b"\0\x40\0\x40\0\x40")]))
    for color, bits in ((0, 8), (2, 8), (3, 4), (6, 16), (2, 16)):
        interlaced = random_.random() < 0.5
        add("png-flaw", "png", png(color, bits, interlaced, surplus=b"abc"))
        add("png-flaw", "png", png(color, bits, interlaced) + b"after the end")
        add("png-flaw", "png", png(color, bits, interlaced, bad_idat=True))
        add("png-flaw", "png", png(color, bits, interlaced, end=False))
        for name, body in ((b"tEXt", b"a\0b"), (b"eXIf", b"MM\0*"), (b"pHYs", bytes(9)), (b"gAMA", bytes(4)), (b"iCCP", b"x\0\0y"), (b"tRNS", b"\0\1"), (b"zzzz", b"?")):
            add("png-checksum", "png", png(color, bits, interlaced, [chunk(name, body, bad=True)]), lenient=True)
    frames = [picture(), None]
    frames[1] = Image.fromarray(pixels(*frames[0].size))
    add("png-animated", "png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50))


# ---- GIF ----


def paletted(colors=None, least=1):
    w, h = size(least)
    colors = colors or random_.choice([2, 4, 16, 100, 256])
    im = Image.fromarray(np.random.default_rng(random_.getrandbits(32)).integers(0, colors, (h, w)).astype(np.uint8))
    im.putpalette(bytes(random_.randrange(256) for _ in range(3 * colors)))
    return im


def gifs():
    for _ in range(6):
        im = paletted()
        add("gif", "gif", saved(im, "GIF", interlace=random_.randrange(2)))
        add("gif-transparent", "gif", saved(im, "GIF", transparency=random_.randrange(2)))
        others = [Image.fromarray(pixels(*im.size)) for _ in range(2)]
        add("gif-animated", "gif", saved(im, "GIF", save_all=True, append_images=others, transparency=1, disposal=2))
    add("gif", "gif", saved(picture("L"), "GIF"))
    for transparent in (None, 3):
        b = bytearray(saved(paletted(16, 4), "GIF", **({} if transparent is None else {"transparency": transparent})))
        w, h = struct.unpack("<HH", b[6:10])
        at = b.index(b",", 13 + (3 * (2 << (b[10] & 7)) if b[10] & 0x80 else 0))
        for screen, offset in (((w + 5, h + 7), (3, 4)), ((w, h), (2, 1)), ((1, 1), (0, 0)), ((w + 1, h), (0, 0))):
            b[6:10] = struct.pack("<HH", *screen)
            b[at + 1 : at + 5] = struct.pack("<HH", *offset)
            add("gif-offset", "gif", bytes(b))


# ---- WebP ----


def webps():
    for _ in range(4):
        add("webp-lossy", "webp", saved(picture(), "WEBP", quality=random_.randint(1, 100)))
        add("webp-lossless", "webp", saved(picture(), "WEBP", lossless=True))
        w, h = size()
        rgba = Image.fromarray(pixels(w, h, 4))
        add("webp-lossless", "webp", saved(rgba, "WEBP", lossless=True, exact=True))
        add("webp-lossy", "webp", saved(rgba, "WEBP", quality=80))
        frames = [Image.fromarray(pixels(w, h, random_.choice([3, 4]))) for _ in range(3)]
        add("webp-animated", "webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
        add("webp-animated", "webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=70))
        small = Image.new("RGBA", (w + 20, h + 20), (0, 0, 0, 0))
        small.paste(frames[0].convert("RGBA"), (10, 6))
        add("webp-offset", "webp", saved(small, "WEBP", save_all=True, append_images=[frames[1].resize(small.size)], lossless=True))


# ---- BMP ----


def bmp(bits, header=40, compression=0, masks=None, topdown=False, colors=None, gap=0, rle=None, offset=None):
    w, h = size(1, 40)
    stride = (w * bits + 31) // 32 * 4
    n = colors or 1 << bits
    if bits <= 8:
        a = np.random.default_rng(random_.getrandbits(32)).integers(0, min(n, 1 << bits), (h, w))
    if rle:
        body = rle(a if topdown else a[::-1])
    elif bits <= 8:
        body = b""
        for row in a if topdown else a[::-1]:
            text = "".join(format(int(i), f"0{bits}b") for i in row)
            text += "0" * (8 * stride - len(text))
            body += int(text, 2).to_bytes(stride, "big")
    else:
        body = b"".join(pixels(w * bits // 8, 1, 1).tobytes().ljust(stride, b"\0") for _ in range(h))
    palette = b""
    if bits <= 8:
        palette = b"".join(bytes(random_.randrange(256) for _ in range(3)) + (b"" if header == 12 else b"\0") for _ in range(n))
    hh = -h if topdown else h
    if header == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, hh, 1, bits, compression, len(body), 2835, 2835, colors or 0, 0)
        m = b"" if masks is None else struct.pack("<4I", *masks)
        head += m[:12] if header == 40 else m.ljust(header - 40, b"\0")[: header - 40]
    at = 14 + len(head) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", at + len(body), 0, 0, at if offset is None else offset) + head + palette + bytes(gap) + body


def rle8(rows, four=False):
    """Runs, literals, skips and ends of rows; rows come in the file's order."""
    out = b""
    per = 15 if four else 255
    for row in rows:
        row, i = [int(v) for v in row], 0
        while i < len(row):
            n = min(random_.randint(1, 9), len(row) - i)
            part = row[i : i + n]
            if random_.random() < 0.4 and n >= 3:
                if four:
                    q = part + [0] * (n % 2)
                    body = bytes(q[j] << 4 | q[j + 1] for j in range(0, len(q), 2))
                else:
                    body = bytes(part)
                out += bytes([0, n]) + body + bytes(len(body) % 2)
            elif random_.random() < 0.1:
                out += bytes([0, 2, n, 0])
                if i + n >= len(row):
                    i = len(row)
                    break
            else:
                v = part[0] << 4 | part[-1] if four else part[0]
                out += bytes([n, v])
            i += n
        out += b"\0\0"
    return out + b"\0\1"


def bmps():
    for bits in (1, 4, 8, 16, 24, 32):
        for header in (40, 64, 108, 124):
            add("bmp", "bmp", bmp(bits, header))
        add("bmp", "bmp", bmp(bits, topdown=True))
        if bits != 16 and bits != 32:
            add("bmp-os2", "bmp", bmp(bits, 12))
    for bits in (1, 4, 8):
        add("bmp-palette", "bmp", bmp(bits, colors=2))
        add("bmp-palette", "bmp", bmp(bits, gap=10))
        add("bmp-palette", "bmp", bmp(bits, offset=14 + 40))
    add("bmp-palette", "bmp", bmp(8, colors=100))
    for _ in range(5):
        add("bmp-rle", "bmp", bmp(8, compression=1, rle=rle8))
        add("bmp-rle", "bmp", bmp(4, compression=2, rle=lambda rows: rle8(rows, True)))
    for header in (40, 52, 56, 108, 124):
        add("bmp-fields", "bmp", bmp(16, header, 3, (0xF800, 0x7E0, 0x1F, 0)))
        add("bmp-fields", "bmp", bmp(16, header, 3, (0x7C00, 0x3E0, 0x1F, 0)))
        add("bmp-fields", "bmp", bmp(32, header, 3, (0xFF0000, 0xFF00, 0xFF, 0)))
        add("bmp-fields", "bmp", bmp(24, header, 3, (0xFF0000, 0xFF00, 0xFF, 0)))
    for masks in ((0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0)):
        add("bmp-fields", "bmp", bmp(32, 56, 3, masks))
    refuse("bmp-refused", "bmp", bmp(8, compression=5), "PNG picture inside")
    refuse("bmp-refused", "bmp", bmp(7 * 2, compression=0)[:200], "14 bits")


# ---- TIFF ----


def tiffs():
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "YCbCr"):
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "group3", "group4", "tiff_ccitt"):
            for big in (False, True):
                im = paletted() if mode == "P" else picture("RGB")
                if mode == "I;16":
                    im = Image.fromarray(np.asarray(im.convert("L")).astype(np.uint16) * 201)
                elif mode == "1":
                    im = Image.fromarray((pixels(*size(1, 300), 1)[..., 0] > 128))
                elif mode != "P":
                    im = im.convert(mode)
                if compression in ("group3", "group4", "tiff_ccitt") and mode != "1" or mode == "1" and compression == "jpeg":
                    continue
                try:
                    b = saved(im, "TIFF", compression=compression, big_tiff=big)
                except Exception as e:
                    skipped_why[f"tiff {mode} {compression}"] = str(e)
                    continue
                # YCbCr without compression is converted by other tables than libtiff's.
                add("tiff-" + (compression or "raw"), "tif", b, limit=int(mode == "YCbCr" and compression is None))
    for _ in range(3):
        for args in (["-t", "-w", "16", "-l", "16"], ["-t", "-w", "48", "-l", "32"], ["-r", "3"], ["-p", "separate"], ["-p", "separate", "-t", "-w", "32", "-l", "16"], ["-B"], ["-L"], ["-f", "lsb2msb"], ["-8"]):
            for c in ("none", "lzw", "lzw:2", "zip:2", "zip", "packbits"):
                for mode in ("L", "RGB", "RGBA"):
                    add("tiff-parts", "tif", tool("tiffcp", "-c", c, *args, "IN", "OUT", data=saved(picture(mode), "TIFF"), suffix=".tif"))
        for args in (["-t", "-w", "16", "-l", "16"], ["-r", "16"], ["-t", "-w", "48", "-l", "32"], ["-p", "separate"]):
            for c in ("jpeg", "jpeg:r", "jpeg:50"):
                try:
                    add("tiff-jpeg", "tif", tool("tiffcp", "-c", c, *args, "IN", "OUT", data=saved(picture("RGB", 20), "TIFF"), suffix=".tif"))
                except RuntimeError as e:  # some sizes
                    skipped_why["tiffcp " + c] = str(e)
        for c in ("g3", "g3:1d", "g3:2d", "g3:fill", "g3:2d:fill", "g4"):
            for args in ([], ["-r", "7"], ["-f", "lsb2msb"]):
                im = Image.fromarray((pixels(*size(1, 200), 1)[..., 0] > 100))
                add("tiff-fax", "tif", tool("tiffcp", "-c", c, *args, "IN", "OUT", data=saved(im, "TIFF"), suffix=".tif"))
    for order in "<>":
        for photo, bits, samples, extra in ((0, 1, 1, ()), (1, 1, 1, ()), (0, 2, 1, ()), (1, 2, 1, ()), (0, 4, 1, ()), (1, 4, 1, ()), (0, 8, 1, ()), (2, 8, 4, (1,)), (2, 8, 4, (0,)), (2, 8, 4, (2,)), (2, 16, 3, ()), (2, 16, 4, (2,)), (5, 8, 4, ()), (5, 16, 4, ()), (1, 16, 1, ()), (1, 8, 2, (0,)), (3, 1, 1, ()), (3, 2, 1, ()), (3, 4, 1, ()), (3, 8, 1, ()), (2, 8, 5, (0, 0)), (6, 8, 3, ())):
            for fill in (1, 2):
                add("tiff-kinds", "tif", tiff(order, photo, bits, samples, extra, fill))
    refuse("tiff-refused", "tif", saved(Image.new("F", (3, 3), 0.5), "TIFF"), "floating-point")
    refuse("tiff-refused", "tif", saved(picture("LAB"), "TIFF") if False else tiff("<", 8, 8, 3, (), 1), "L\\*a\\*b")
    refuse("tiff-refused", "tif", tiff("<", 2, 8, 3, (), 1, compression=50000), "Zstandard")


def tiff(order, photo, bits, samples, extra, fill, compression=1):
    w, h = size(1, 40)
    stride = (w * samples * bits + 7) // 8
    data = pixels(stride, h, 1).tobytes()
    if photo == 6:  # subsampling 2x2 of libtiff's own
        uw, uh = (w + 1) // 2, (h + 1) // 2
        data = pixels(uw * 6, uh, 1).tobytes()
    tags = {256: (3, [w]), 257: (3, [h]), 258: (3, [bits] * samples), 259: (3, [compression]), 262: (3, [photo]), 266: (3, [fill]),
            273: (4, [0]), 277: (3, [samples]), 278: (3, [h]), 279: (4, [len(data)])}
    if extra:
        tags[338] = (3, list(extra))
    if photo == 3:
        tags[320] = (3, [random_.randrange(65536) for _ in range(3 << bits)])
    if photo == 6:
        tags[530] = (3, [2, 2])
        tags[532] = (5, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1])
    place = 8 + 2 + 12 * len(tags) + 4
    entries, blob = b"", b""
    at = place + sum(len(v) * {3: 2, 4: 4, 5: 4}[k] if len(v) * {3: 2, 4: 4, 5: 4}[k] > 4 else 0 for k, v in tags.values())
    tags[273] = (4, [at])
    for tag in sorted(tags):
        kind, values = tags[tag]
        raw = b"".join(struct.pack(order + {3: "H", 4: "I", 5: "I"}[kind], v) for v in values)
        count = len(values) // (2 if kind == 5 else 1)
        if len(raw) > 4:
            entries += struct.pack(order + "HHII", tag, kind, count, place + len(blob))
            blob += raw
        else:
            entries += struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + blob + data


# ---- Netpbm ----


def pnms():
    for _ in range(3):
        w, h = size(1, 30)
        rng = np.random.default_rng(random_.getrandbits(32))
        for largest in (1, 7, 100, 255, 256, 1000, 65535):
            for kind, channels in ((2, 1), (3, 3)):
                a = rng.integers(0, largest + 1, (h, w, channels))
                head = f"{w} # width\n{h}\n{largest}\n".encode()
                text = b" ".join(str(v).encode() for v in a.reshape(-1))
                raw = a.astype(np.uint8 if largest < 256 else ">u2").tobytes()
                add("ppm-text", "ppm", b"P%d\n# a comment\n" % kind + head + text + b"\n")
                add("ppm", "ppm", b"P%d " % (kind + 3) + head + raw)
        bits = rng.integers(0, 2, (h, w))
        add("pbm", "pbm", b"P1\n%d %d\n" % (w, h) + b"\n".join(b"".join(b"%d" % v for v in row) for row in bits))
        add("pbm", "pbm", b"P4\n%d %d\n" % (w, h) + np.packbits(bits, axis=1).tobytes())
        for channels, model in ((1, b"GRAYSCALE"), (2, b"GRAYSCALE_ALPHA"), (3, b"RGB"), (4, b"RGB_ALPHA")):
            a = rng.integers(0, 256, (h, w, channels)).astype(np.uint8)
            want = Image.fromarray(np.repeat(a[..., :1], 3, 2) if channels < 3 else a[..., :3])
            add("pam", "pam", b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n" % (w, h, channels, model) + a.tobytes(), want=want)


# ---- Orientation ----


def orientations():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        im = picture()
        add("orientation", "jpg", saved(im, "JPEG", exif=exif))
        add("orientation", "png", saved(im, "PNG", exif=exif))
        add("orientation", "webp", saved(im, "WEBP", exif=exif, lossless=True))
        add("orientation", "tif", saved(im, "TIFF", tiffinfo={0x0112: o}))
        add("orientation", "tif", saved(im, "TIFF", tiffinfo={0x0112: o}, compression="tiff_lzw"))
        add("orientation", "jpg", saved(im, "JPEG", xmp=xmp % o))
        add("orientation", "webp", saved(im, "WEBP", xmp=xmp % o, lossless=True))
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", (xmp % o).decode(), zip=o % 2 == 0)
        add("orientation", "png", saved(im, "PNG", pnginfo=text))
        text = PngImagePlugin.PngInfo()
        body = exif.tobytes()
        text.add_text("Raw profile type exif", "\nexif\n%8d\n%s\n" % (len(body), body.hex()), zip=True)
        add("orientation", "png", saved(im, "PNG", pnginfo=text))


def foreign():
    im = picture()
    for ending, data, why in (
            ("avif", saved(im, "AVIF"), "AVIF"), ("jp2", saved(im, "JPEG2000"), "JPEG 2000"), ("ico", saved(im, "ICO"), "icon"),
            ("j2k", saved(im, "JPEG2000", no_jp2=True), "JPEG 2000"), ("pdf", saved(im, "PDF"), "PDF"), ("dds", saved(im, "DDS"), "DDS"),
            ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC"), ("heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), "HEIC"),
            ("jxl", b"\xff\x0a" + bytes(40), "JPEG XL"), ("jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
            ("svg", b'<svg width="9"/>', "SVG"), ("svg", b'<?xml version="1.0"?>\n<svg/>', "SVG"), ("psd", b"8BPS\0\1" + bytes(40), "Photoshop"),
            ("cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "raw camera file"), ("cr3", b"\0\0\0\x18ftypcrx " + bytes(40), "raw camera file"),
            ("jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
            ("jpg", b"\n<!DOCTYPE html><html>", "web page"), ("jpg", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"),
            ("jpg", bytes(1000), "zeros"), ("jpg", b"", "empty"), ("jpg", b"hello", "hello"), ("mp4", b"\0\0\0\x18ftypisom" + bytes(40), "video")):
        refuse("foreign", ending, data, why)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=os.path.join(HERE, "..", "pictures.zip"))
    p.add_argument("--rounds", type=int, default=0, help="0 makes one picture of each kind of a round")
    p.add_argument("--seed", type=int, default=5)
    p.add_argument("--only", default="")
    args = p.parse_args()
    random_.seed(args.seed)
    if args.rounds == 0:
        globals()["MOST"] = 18
    makers = [jpeg_plain, jpeg_models, jpeg_flaws, jpeg_lossless, jpeg_refused, pngs, gifs, webps, bmps, tiffs, pnms, orientations, foreign, jpeg_extreme, jpeg_incomplete]
    for round_ in range(max(args.rounds, 1)):
        for m in makers:
            if m.__name__.startswith(args.only):
                m()
    keep = index
    if args.rounds == 0:  # a few of each kind, small ones
        keep, seen = [], {}
        for e in sorted(index, key=lambda e: len(contents[e["file"]])):
            most = {"orientation": 20, "foreign": 99, "jpeg-sampling": 9, "jpeg-damaged": 6, "jpeg-extreme": 5, "jpeg-incomplete": 6, "jpeg-ended": 4, "tiff-kinds": 16, "png": 8, "bmp": 8}.get(e["kind"], 2)
            seen[e["kind"]] = seen.get(e["kind"], 0) + 1
            # Not the smallest, which have but one block.
            if seen[e["kind"]] > 1 and seen[e["kind"]] <= most + 1 or "error" in e:
                keep.append(e)
        for e in keep:
            if "error" not in e and "limit" not in e:
                e["sha256"] = hashlib.sha256(Image.open(io.BytesIO(contents[e["file"] + ".ppm"])).tobytes()).hexdigest()
    with zipfile.ZipFile(args.out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        def put(name, data):
            z.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
        put("index.json", json.dumps(keep, separators=(",", ":")))
        for e in keep:
            put(e["file"], contents[e["file"]])
            if "error" not in e and "sha256" not in e:
                put(e["file"] + ".ppm", contents[e["file"] + ".ppm"])
    print(f"{len(keep)} pictures, {os.path.getsize(args.out)} bytes")
    for kind, n in sorted(skipped.items()):
        print(f"{kind}: {n} that Pillow refuses, such as: {skipped_why[kind]}")
    for kind, why in sorted(skipped_why.items()):
        if kind not in skipped:
            print(f"{kind}: not made: {why[:200]}")


main()
