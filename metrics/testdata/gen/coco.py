"""Random objects and detections and what pycocotools makes of them, for coco_test.go.

    python coco.py SEED CASES > ../coco.json

The committed file is of seed 4 with 3 cases, by pycocotools 2.0.11 and numpy 2.4.6.
"""
import base64
import contextlib
import io
import json
import sys
import zlib

import numpy as np
from pycocotools import mask as M
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

seed, cases = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(seed)


def pack(a):
    return base64.b64encode(zlib.compress(np.ascontiguousarray(a, "<f8").tobytes(), 9)).decode()


def blob(h, w):
    """A mask of a few boxes."""
    m = np.zeros((h, w), np.uint8)
    for _ in range(int(rng.integers(0, 3)) + 1):
        y, x = int(rng.integers(0, h)), int(rng.integers(0, w))
        m[y:y + int(rng.integers(1, h)), x:x + int(rng.integers(1, w))] = 1
    return m


def rle(m):
    r = M.encode(np.asfortranarray(m))
    return {"size": r["size"], "counts": r["counts"].decode()}


def case(n):
    kinds = int(rng.integers(1, 6))
    cats = sorted(rng.choice(40, kinds, replace=False).tolist())
    ims = rng.choice(1000, int(rng.integers(2, 9)), replace=False).tolist()
    if n % 2 == 0:
        ims[0], cats[0] = 0, 0  # ids from 0
    images = [{"id": i, "height": int(rng.integers(20, 150)), "width": int(rng.integers(20, 150))} for i in ims]
    anns, dets = [], []
    ids = rng.permutation(200).tolist()
    if n % 2 == 1:
        ids = [i + 1 for i in ids]
    for im in images[:-1]:  # the last has none
        h, w = im["height"], im["width"]
        for _ in range(int(rng.integers(0, 9))):
            m = blob(h, w)
            cat = int(rng.choice(cats[:-1] or cats))  # the last category has none
            crowd = int(rng.random() < 0.2)
            box = M.toBbox(rle_bytes(m)).tolist()
            if rng.random() < 0.3:
                box = [b + float(rng.random()) for b in box]
            a = {"id": ids[len(anns)], "image_id": im["id"], "category_id": cat, "bbox": box, "iscrowd": crowd,
                 "area": float(rng.choice([int(m.sum()), 1024, 9216, 0, 2e10], p=[0.8, 0.06, 0.06, 0.04, 0.04])),
                 "segmentation": rle(m)}
            anns.append(a)
            if rng.random() < 0.15:  # two that overlap alike
                anns.append(dict(a, id=ids[len(anns)]))
            for _ in range(int(rng.integers(0, 4))):  # near it
                d = np.roll(m, (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (0, 1)) if rng.random() < 0.7 else m
                b = [v + float(rng.normal()) * float(rng.choice([0, 1, 4])) for v in box]
                dets.append({"image_id": im["id"], "category_id": cat, "bbox": b, "segmentation": rle(d),
                             "score": round(float(rng.random()), int(rng.choice([1, 2, 9])))})
    for im in images:  # anywhere, sometimes more than maxDets
        for _ in range(int(rng.choice([0, 3, 130], p=[0.3, 0.6, 0.1])) if n != 0 else 2):
            m = blob(im["height"], im["width"])
            dets.append({"image_id": im["id"], "category_id": int(rng.choice(cats)), "bbox": M.toBbox(rle_bytes(m)).tolist(),
                         "segmentation": rle(m), "score": round(float(rng.random()), 1)})
    rng.shuffle(dets)
    rng.shuffle(images)
    gt = COCO()
    out = {"images": images, "categories": cats, "objects": anns, "detections": dets}
    if not dets:
        return None
    gt.dataset = {"images": images, "categories": [{"id": c} for c in cats], "annotations": json.loads(json.dumps(anns))}
    gt.createIndex()
    for kind in ("bbox", "segm"):
        kept = [{k: v for k, v in d.items() if kind == "bbox" and k != "segmentation" or kind == "segm" and k != "bbox"} for d in json.loads(json.dumps(dets))]
        e = COCOeval(gt, gt.loadRes(kept), kind)
        if n % 3 == 2:
            e.params.maxDets = [1, 2, 5]
        e.evaluate()
        e.accumulate()
        e.summarize()
        out["max"] = e.params.maxDets
        out[kind] = {"stats": e.stats.tolist(), "precision": pack(e.eval["precision"]), "recall": pack(e.eval["recall"]), "scores": pack(e.eval["scores"])}
    return out


def rle_bytes(m):
    return M.encode(np.asfortranarray(m))


with contextlib.redirect_stdout(io.StringIO()):
    done = [c for c in map(case, range(cases)) if c]
json.dump(done, sys.stdout, separators=(",", ":"))
