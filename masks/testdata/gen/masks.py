"""Random masks and what pycocotools and torchvision make of them, for masks_test.go.

    python masks.py SEED CASES > ../masks.json

The committed file is of seed 1 with 10 cases, by pycocotools 2.0.11, torch 2.15.0
and torchvision 0.29.2.
"""
import json
import sys

import numpy as np
import torch
from pycocotools import mask as M
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

torch.set_num_threads(1)
seed, cases = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(seed)
out = []
for case in range(cases):
    h, w = (int(v) for v in rng.integers(1, 60, 2))
    c = {"h": h, "w": w, "polygons": [], "boxes": [], "bits": [], "pastes": []}
    rles = []

    def take(r, **what):
        b = M.toBbox(r).tolist()
        return what | {"rle": r["counts"].decode(), "area": int(M.area(r)), "box": b}

    for kind in range(4):
        k = int(rng.integers(3, 9))
        xy = rng.uniform(-0.4, 1.4, (k, 2)) * [w, h]
        if kind == 1:
            xy = np.round(xy)  # corners and edges on the grid, equal corners
        if kind == 2:
            xy = np.round(xy * 2) / 2
            xy[1] = xy[0]
        if kind == 3:
            xy = np.round(xy, 2)
        xy = xy.ravel().tolist()
        r = M.frPyObjects([xy], h, w)[0]
        c["polygons"].append(take(r, xy=xy))
        rles.append(r)
    for kind in range(2):
        b = (rng.uniform(-0.2, 0.8, 4) * [w, h, w, h]).tolist()
        if kind == 1:
            b = [round(v) for v in b]
        r = M.frPyObjects(np.array([b], dtype=float), h, w)[0]
        c["boxes"].append(take(r, xywh=b))
        rles.append(r)
    for p in (0.0, 0.02, 0.5, 1.0):
        bits = (rng.random((h, w)) < p).astype(np.uint8) if h * w < 1500 else np.full((h, w), p > 0.4, np.uint8)
        r = M.encode(np.asfortranarray(bits))
        c["bits"].append(take(r, bits="".join(map(str, bits.ravel()))))
        rles.append(r)
    c["union"] = M.merge(rles)["counts"].decode()
    c["polygon_union"] = M.merge(rles[:4])["counts"].decode()
    c["intersection"] = M.merge(rles[:2], intersect=True)["counts"].decode()
    crowd = [int(v) for v in rng.integers(0, 2, 5)]
    c["crowd"] = crowd
    c["iou"] = M.iou(rles[:5], rles[5:], crowd).tolist()
    db, gb = rng.uniform(0, 20, (4, 4)), rng.uniform(0, 20, (5, 4))
    c["dt_boxes"], c["gt_boxes"] = db.tolist(), gb.tolist()
    c["box_iou"] = M.iou(db, gb, crowd).tolist()

    if case % 4 == 0:
        size = 28 if case == 0 else 5
        p = torch.tensor(np.round(rng.random((1, 1, size, size)), 3), dtype=torch.float32)
        box = torch.tensor(np.round(rng.uniform(-0.3, 1.3, (1, 2)) * [w, h], 2))
        box = torch.cat([box, box + torch.tensor(np.round(rng.uniform(0, 0.9, (1, 2)) * [w, h], 2))], 1).float()
        box = torch.minimum(box.clamp(min=0), torch.tensor([w, h, w, h]))  # as detections are
        pasted = paste_masks_in_image(p, box, (h, w))[0, 0]
        bits = torch.tensor(M.decode(rles[0])).float()[None]
        target = project_masks_on_boxes(bits, box, torch.zeros(1, dtype=torch.int64), size)[0]
        new = [int(v) for v in rng.integers(1, 90, 2)]
        small = torch.nn.functional.interpolate(bits[None], size=new)[0, 0].numpy().astype(np.uint8)
        c["pastes"].append({
            "size": size, "mask": [round(v, 3) for v in p.ravel().tolist()], "box": box[0].tolist(),
            "pasted": [round(v, 6) for v in pasted.ravel().tolist()],
            "target": [round(v, 6) for v in target.ravel().tolist()],
            "resize": new, "resized": M.encode(np.asfortranarray(small))["counts"].decode()})
    out.append(c)
json.dump(out, sys.stdout, separators=(",", ":"))
