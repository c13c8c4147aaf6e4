#!/usr/bin/python3
"""Goldens of package data by PIL and torchvision, in data/testdata/{transforms,formats}.

Made with Pillow 9.4.0, torchvision 0.14.1, numpy 1.24.2 (Debian 12), seed 7. All
pictures are made here, none is anybody's. Run: python3 data/testdata/gen/transforms.py

transforms/index.json is a list of {"name", "op", "args", "in", "out"}: applying op
to the RGB PNG "in" gives the RGB PNG "out". Sizes are given as w, h.

    resize            PIL Image.resize, which is antialiased: size [w,h], filter bilinear or bicubic
    resize_shorter    torchvision Resize(int): size, filter
    resize_center     Resize(size) then CenterCrop(crop): size, crop, filter
    center_crop       CenterCrop: crop [w,h]; pads with black where the picture is smaller
    pad_crop          zero padding on all sides, then the crop at (left, top): padding, left, top, size [w,h]
    resized_crop      crop the box, then resize: left, top, width, height, size [w,h], filter
    hflip, grayscale  (grayscale has three equal channels)
    brightness, contrast, saturation, hue    torchvision's adjust_*: factor
    trivial           an operation of TrivialAugmentWide, nearest neighbor, black fill:
                      transform (torchvision's name), magnitude

formats/index.json is a list of {"in", "out", "note"}: decoding the file
"in", honoring its EXIF orientation and converting to RGB gives the PNG "out".
"""

import glob
import json
import os
import shutil
import struct
import zlib

import numpy as np
import PIL
import torchvision
import torchvision.transforms.functional as F
from PIL import Image, ImageDraw, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..")
rng = np.random.default_rng(7)
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def noise(w, h, amount=0.6):
    """Gradients over the whole range with noise on top."""
    y, x = np.mgrid[0:h, 0:w]
    g = np.stack([x / w, y / h, 1 - (x + y) / (w + h)], 2)
    v = (1 - amount) * g + amount * rng.random((h, w, 3))
    return Image.fromarray((v * 255).round().astype(np.uint8))


def scene(w, h):
    """Smooth areas, edges and thin lines, drawn four times larger and reduced."""
    big = Image.new("RGB", (4 * w, 4 * h))
    px = np.zeros((4 * h, 4 * w, 3))
    y = np.linspace(0, 1, 4 * h)[:, None]
    px[:] = np.stack([90 + 120 * y, 140 + 60 * y, 235 - 90 * y], 2)
    big = Image.fromarray(px.astype(np.uint8))
    d = ImageDraw.Draw(big)
    d.rectangle((0, 2.6 * h, 4 * w, 4 * h), fill=(60, 110, 40))
    d.ellipse((0.5 * w, 0.4 * h, 1.5 * w, 1.9 * h), fill=(250, 220, 60))
    d.polygon([(2 * w, 2.8 * h), (2.9 * w, 0.7 * h), (3.8 * w, 2.8 * h)], fill=(130, 80, 70), outline=(20, 10, 10))
    for i in range(9):
        d.line((i * w / 2, 4 * h, w + i * w / 3, 2.6 * h), fill=(20, 50, 15), width=3)
    return big.resize((w, h), Image.BOX)


def center_crop(im, w, h):
    return F.center_crop(im, [h, w])


def transforms(out):
    index = []
    images = {"noise": noise(57, 43), "scene": scene(72, 50), "patch": noise(24, 19)}
    for n, im in images.items():
        im.save(os.path.join(out, n + ".png"), optimize=True)

    def case(src, name, op, result, **args):
        name = f"{src}_{name}"
        result.convert("RGB").save(os.path.join(out, name + ".png"), optimize=True)
        index.append({"name": name, "op": op, "args": args, "in": src + ".png", "out": name + ".png"})

    for src, size, filters in (
            ("noise", (32, 32), ("bilinear", "bicubic")), ("noise", (16, 16), ("bilinear", "bicubic")),
            ("noise", (40, 7), ("bilinear", "bicubic")), ("noise", (57, 20), ("bilinear",)),
            ("noise", (29, 43), ("bilinear",)), ("noise", (1, 1), ("bilinear", "bicubic")),
            ("noise", (57, 43), ("bilinear",)), ("patch", (48, 38), ("bilinear", "bicubic")),
            ("patch", (31, 29), ("bilinear", "bicubic")), ("patch", (40, 11), ("bilinear",)),
            ("scene", (32, 32), ("bilinear", "bicubic")), ("scene", (111, 77), ("bicubic",))):
        for f in filters:
            case(src, f"resize_{size[0]}x{size[1]}_{f}", "resize", images[src].resize(size, FILTERS[f]),
                 size=size, filter=f)
    for src in ("noise", "scene"):
        im = images[src]
        for f in FILTERS:
            mode = InterpolationMode(f)
            small = F.resize(im, 37, mode)
            case(src, f"center_37_32_{f}", "resize_center", center_crop(small, 32, 32),
                 size=37, crop=[32, 32], filter=f)
        case(src, "shorter_21", "resize_shorter", F.resize(im, 21), size=21, filter="bilinear")
    tall = images["noise"].crop((3, 0, 22, 43))
    tall.save(os.path.join(out, "tall.png"), optimize=True)
    images["tall"] = tall
    case("tall", "shorter_16", "resize_shorter", F.resize(tall, 16), size=16, filter="bilinear")
    # Half pixels: torchvision rounds (H-h)/2 to even.
    for w, h in ((22, 16), (23, 18), (21, 14), (30, 12), (12, 30), (29, 26)):
        case("patch", f"center_crop_{w}x{h}", "center_crop", center_crop(images["patch"], w, h), crop=[w, h])
    for left, top in ((0, 0), (8, 8), (3, 6)):
        padded = F.pad(images["patch"], 4)
        case("patch", f"pad4_crop_{left}_{top}", "pad_crop", padded.crop((left, top, left + 24, top + 19)),
             padding=4, left=left, top=top, size=[24, 19])
    for left, top, w, h, size in ((5, 3, 40, 30, (24, 24)), (20, 10, 9, 13, (20, 28))):
        for f in FILTERS:
            case("noise", f"resized_crop_{left}_{top}_{f}", "resized_crop",
                 F.resized_crop(images["noise"], top, left, h, w, [size[1], size[0]], InterpolationMode(f)),
                 left=left, top=top, width=w, height=h, size=size, filter=f)
    for src in ("patch", "scene"):
        im = images[src]
        case(src, "hflip", "hflip", F.hflip(im))
        case(src, "grayscale", "grayscale", F.to_grayscale(im, 3))
        for op, fn, factors in (
                ("brightness", F.adjust_brightness, (0.0, 0.6, 1.4)), ("contrast", F.adjust_contrast, (0.0, 0.6, 1.4)),
                ("saturation", F.adjust_saturation, (0.0, 0.6, 1.4)), ("hue", F.adjust_hue, (-0.5, -0.1, 0.07, 0.3))):
            for v in factors:
                case(src, f"{op}_{v}", op, fn(im, v), factor=v)
        for op, values in (
                ("Identity", (0,)), ("ShearX", (0.3, -0.99)), ("ShearY", (-0.3, 0.99)),
                ("TranslateX", (5.0, -14.2)), ("TranslateY", (-3.0, 9.7)), ("Rotate", (30.0, -135.0, 90.0)),
                ("Brightness", (0.3, -0.99)), ("Color", (0.5, -0.5)), ("Contrast", (0.99, -0.3)),
                ("Sharpness", (0.9, -0.9, 0.3)), ("Posterize", (2, 6, 8)), ("Solarize", (0.0, 100.0, 255.0)),
                ("AutoContrast", (0,)), ("Equalize", (0,)), ("Invert", (0,))):
            if src == "scene" and op in ("Identity", "Invert", "Posterize", "Brightness", "Contrast", "Color"):
                continue  # the patch has it already
            for v in values:
                case(src, f"{op.lower()}_{v}", "trivial", _apply_op(im, op, v, InterpolationMode.NEAREST, None),
                     transform=op, magnitude=v)
    return index


def png16(path, px, color):
    """Write a 16-bit PNG, which PIL cannot do for color. px: H,W,channels uint16; color: PNG's color type."""
    h, w, _ = px.shape
    rows = b"".join(b"\0" + px[i].astype(">u2").tobytes() for i in range(h))

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, color, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def formats(out):
    index = []
    im = scene(36, 26)

    def path(name):
        return os.path.join(out, name)

    def case(name, note, want=None):
        """want: the RGB picture expected; by default what PIL makes of the file."""
        if want is None:
            want = ImageOps.exif_transpose(Image.open(path(name))).convert("RGB")
        ref = name.replace(".", "_") + ".rgb.png"
        want.save(path(ref), optimize=True)
        index.append({"in": name, "out": ref, "note": note})

    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        im.save(path(f"orientation{o}.jpg"), quality=90, subsampling=0, exif=exif)
        case(f"orientation{o}.jpg", f"EXIF orientation {o}, 4:4:4")
    for tag, sub in (("422", 1), ("420", 2)):
        im.save(path(f"chroma{tag}.jpg"), quality=90, subsampling=sub)
        case(f"chroma{tag}.jpg", f"chroma {tag}; libjpeg interpolates the chroma")
    im.save(path("progressive.jpg"), quality=90, subsampling=0, progressive=True)
    case("progressive.jpg", "progressive, 4:4:4")
    im.convert("L").save(path("grey.jpg"), quality=90)
    case("grey.jpg", "one component")
    cmyk = np.concatenate([255 - np.asarray(im), np.full((26, 36, 1), 20, np.uint8)], 2)
    Image.fromarray(cmyk, "CMYK").save(path("cmyk.jpg"), quality=95)
    case("cmyk.jpg", "CMYK with Adobe's marker, hence stored inverted")

    v16 = np.asarray(noise(20, 15)).astype(np.uint16) * 256 + rng.integers(0, 256, (15, 20, 3)).astype(np.uint16)
    high = (v16 >> 8).astype(np.uint8)
    png16(path("rgb16.png"), v16, 2)
    case("rgb16.png", "16 bits, RGB: the high byte, as PIL has it")
    png16(path("rgba16.png"), np.concatenate([v16, v16[:, :, :1]], 2), 6)
    case("rgba16.png", "16 bits, RGBA: the high byte, alpha dropped", Image.fromarray(high))
    png16(path("grey16.png"), v16[:, :, :1], 0)
    case("grey16.png", "16 bits, grey: the high byte, as for RGB; PIL's convert('RGB') would clip at 255",
         Image.fromarray(np.repeat(high[:, :, :1], 3, 2)))
    small = noise(20, 15)
    small.convert("L").save(path("grey.png"))
    case("grey.png", "8 bits, grey")
    small.convert("L").convert("1").save(path("grey1.png"))
    case("grey1.png", "1 bit, grey")
    alpha = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (15, 1))
    Image.fromarray(np.concatenate([np.asarray(small), alpha[:, :, None]], 2)).save(path("rgba.png"))
    case("rgba.png", "alpha is dropped, not blended, as PIL's convert('RGB') does")
    Image.fromarray(np.stack([np.asarray(small.convert("L")), alpha], 2)).save(path("grey_alpha.png"))
    case("grey_alpha.png", "grey with alpha, dropped")
    pal = im.quantize(16, dither=Image.Dither.NONE)
    pal.save(path("palette.png"))
    case("palette.png", "palette of 16 colors")
    pal.save(path("palette_transparent.png"), transparency=0)
    case("palette_transparent.png", "color 0 is transparent, which is dropped", pal.convert("RGB"))

    pal.save(path("still.gif"))
    case("still.gif", "palette")
    pal.save(path("animated.gif"), save_all=True, append_images=[ImageOps.invert(im).quantize(16)], duration=100)
    case("animated.gif", "two frames; the first counts")
    small.save(path("lossless.webp"), lossless=True)
    case("lossless.webp", "lossless")
    im.save(path("lossy.webp"), quality=90)
    case("lossy.webp", "lossy, 4:2:0; libwebp interpolates the chroma")
    small.save(path("rgb.bmp"))
    case("rgb.bmp", "24 bits")
    pal.save(path("palette.bmp"))
    case("palette.bmp", "8 bits, palette")
    return index


def main():
    for folder, make in (("transforms", transforms), ("formats", formats)):
        out = os.path.join(OUT, folder)
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        index = make(out)
        with open(os.path.join(out, "index.json"), "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")
        files = glob.glob(os.path.join(out, "*"))
        print(f"{folder}: {len(index)} cases, {len(files)} files, {sum(map(os.path.getsize, files))} bytes")
    print(f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
