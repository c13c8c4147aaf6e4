"""Random objects and detections and what ChainerCV makes of them, for voc_test.go.

    python voc.py CHAINERCV SEED CASES > ../voc.json

CHAINERCV is the unpacked source of chainercv 0.13.1 (PyPI); of it only
evaluations/eval_detection_voc.py and utils/bbox/bbox_iou.py are used, which need numpy
and six alone. The committed file is of seed 1 with 6 cases.
"""
import json
import pathlib
import sys
import types

import numpy as np

root, seed, cases = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(seed)


def load(path, **names):
    m = types.ModuleType(path)
    m.__dict__.update(names)
    text = (root / path).read_text()
    text = "\n".join(l for l in text.splitlines() if not l.startswith(("from chainer", "from __future__")))
    exec(compile(text, path, "exec"), m.__dict__)
    return m


class Chainer:  # the one thing that bbox_iou needs of it
    class cuda:
        @staticmethod
        def get_array_module(*_):
            return np


cuda = Chainer.cuda
iou = load("chainercv/utils/bbox/bbox_iou.py", cuda=cuda, chainer=Chainer, backends=types.SimpleNamespace(cuda=cuda))
voc = load("chainercv/evaluations/eval_detection_voc.py", bbox_iou=iou.bbox_iou)


def corners(n):
    p = rng.integers(1, 60, (n, 2))
    return np.concatenate([p, p + rng.integers(0, 40, (n, 2))], 1).astype(float)  # xmin ymin xmax ymax, inclusive


out = []
for _ in range(cases):
    images, classes = int(rng.integers(2, 8)), int(rng.integers(1, 5))
    objects, detections = [], []
    for i in range(images):
        for b in corners(int(rng.integers(0, 6))):
            c = int(rng.integers(0, classes))
            objects.append({"image": i, "class": c, "box": b.tolist(), "difficult": bool(rng.random() < 0.25)})
            for _ in range(int(rng.integers(0, 4))):
                d = b + rng.integers(-5, 6, 4)
                d[2:] = np.maximum(d[2:], d[:2])
                detections.append({"image": i, "class": c, "box": d.tolist()})
        for b in corners(int(rng.integers(0, 4))):
            detections.append({"image": i, "class": int(rng.integers(0, classes)), "box": b.tolist()})
    scores = rng.permutation(len(detections)) / len(detections)
    for d, s in zip(detections, scores):
        d["score"] = float(s)
    def boxes(of, i):  # ymin xmin ymax xmax
        return np.array([np.array(o["box"])[[1, 0, 3, 2]] for o in of if o["image"] == i]).reshape(-1, 4)

    def column(of, i, key, t):
        return np.array([o[key] for o in of if o["image"] == i], t)
    case = {"images": images, "classes": classes, "objects": objects, "detections": detections}
    for name, eleven in (("area", False), ("eleven", True)):
        r = voc.eval_detection_voc(
            [boxes(detections, i) for i in range(images)], [column(detections, i, "class", int) for i in range(images)],
            [column(detections, i, "score", float) for i in range(images)],
            [boxes(objects, i) for i in range(images)], [column(objects, i, "class", int) for i in range(images)],
            [column(objects, i, "difficult", bool) for i in range(images)], iou_thresh=0.501, use_07_metric=eleven)
        case[name] = [-1 if np.isnan(v) else float(v) for v in r["ap"]]
    out.append(case)
json.dump(out, sys.stdout, separators=(",", ":"))
