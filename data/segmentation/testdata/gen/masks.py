"""Masks in every form of PNG, GIF and BMP, to data/segmentation/testdata/masks.zip.

Made with Pillow 12. Each file NAME has NAME.txt: width, height and the values of
numpy.array(Image.open(NAME)), which are palette indices or gray values. Run:
python3 data/segmentation/testdata/gen/masks.py
"""

import io
import os
import zipfile

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    rng = np.random.default_rng(7)
    with zipfile.ZipFile(os.path.join(HERE, "..", "masks.zip"), "w", zipfile.ZIP_DEFLATED) as z:

        def add(name, image, **options):
            b = io.BytesIO()
            image.save(b, name.rsplit(".", 1)[1].upper(), **options)
            read = Image.open(io.BytesIO(b.getvalue()))
            values = np.array(read).astype(int)
            assert values.ndim == 2, (name, read.mode)
            text = f"{read.width} {read.height}\n" + " ".join(map(str, values.reshape(-1)))
            for n, content in ((name, b.getvalue()), (name + ".txt", text.encode())):
                z.writestr(zipfile.ZipInfo(n), content, zipfile.ZIP_DEFLATED)

        def indices(most, w=13, h=9):
            return rng.integers(0, most, (h, w)).astype(np.uint8)

        palette = rng.integers(0, 256, 768).astype(np.uint8).tolist()
        for bits in (1, 2, 4, 8):
            m = Image.fromarray(indices(2**bits), "P")
            m.putpalette(palette)
            add(f"palette{bits}.png", m, bits=bits)
        m = Image.fromarray(indices(21), "P")
        m.putpalette(palette)
        add("transparent.png", m, transparency=0)
        same = Image.fromarray(indices(5), "P")  # two indices of one color
        same.putpalette([9, 9, 9] * 5)
        add("same_color.png", same)
        add("gray8.png", Image.fromarray(indices(256), "L"))
        add("bit.png", Image.fromarray(indices(2) * 255, "L").convert("1"))
        g = Image.fromarray(indices(7), "P")
        g.putpalette(palette)
        add("palette.gif", g)
        add("palette.bmp", m)
        add("gray16.png", Image.fromarray(indices(30).astype(np.uint16)))


if __name__ == "__main__":
    main()
