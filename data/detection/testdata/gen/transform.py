"""What torchvision's GeneralizedRCNNTransform and RandomShortestSize make of random
pictures, boxes and masks, for loader_test.go.

    python transform.py > ../transform.json

The committed file is by torch 2.15.0 and torchvision 0.29.2.
"""
import json
import sys

import numpy as np
import torch
from pycocotools import mask as M
from torchvision.models.detection.transform import GeneralizedRCNNTransform

torch.set_num_threads(1)
rng = np.random.default_rng(5)
mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
out = {"cases": [], "sizes": []}
for h, w, low, high in ((17, 23, 20, 25), (30, 11, 12, 28), (9, 9, 14, 14)):
    pixels = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    n = 3
    xy = rng.uniform(0, 0.5, (n, 2)) * [w, h]
    boxes = np.concatenate([xy, xy + rng.uniform(0.1, 0.5, (n, 2)) * [w, h]], 1).round(2)
    masks = (rng.random((n, h, w)) < 0.4).astype(np.uint8)
    t = GeneralizedRCNNTransform(low, high, mean, std)
    x, y = t([torch.tensor(pixels).permute(2, 0, 1).float() / 255],
             [{"boxes": torch.tensor(boxes, dtype=torch.float32), "masks": torch.tensor(masks), "labels": torch.ones(n, dtype=torch.int64)}])
    rh, rw = x.image_sizes[0]
    def runs(m):
        return {"size": list(m.shape), "counts": M.encode(np.asfortranarray(m))["counts"].decode()}
    out["cases"].append({
        "w": w, "h": h, "min": low, "max": high, "pixels": pixels.ravel().tolist(), "boxes": boxes.tolist(), "masks": [runs(m) for m in masks],
        "rw": rw, "rh": rh, "x": [round(v, 5) for v in x.tensors[0, :, :rh, :rw].permute(1, 2, 0).ravel().tolist()],
        "out_boxes": y[0]["boxes"].tolist(), "out_masks": [runs(m.numpy()) for m in y[0]["masks"]]})
t = GeneralizedRCNNTransform(800, 1333, mean, std)
for w, h in ((640, 427), (97, 161), (322, 305), (193, 2000), (149, 13), (1333, 800), (4000, 153), (500, 375), (1, 1), (640, 480)):
    image = torch.zeros(3, h, w)
    if h * w < 400000:
        r = t.resize(image)[0]
        out["sizes"].append([w, h, r.shape[2], r.shape[1]])
json.dump(out, sys.stdout, separators=(",", ":"))
