"""Runs ONNX detectors on a picture by onnxruntime and prints what they find as JSON, a line for each.

    python onnxruntime_detect.py picture.png model.onnx...

The picture goes in as torchvision's exports take it: [3, H, W], values from 0 to 1. Made with onnxruntime 1.32, Pillow 12.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

picture = np.asarray(Image.open(sys.argv[1]).convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    out = dict(zip(names, session.run(names, {session.get_inputs()[0].name: picture})))
    line = {"boxes": out["boxes"].ravel().tolist(), "labels": out["labels"].tolist(), "scores": out["scores"].tolist()}
    if "masks" in out:
        line["shape"] = list(out["masks"].shape)
        line["masks"] = np.round(out["masks"].astype(np.float64), 6).ravel().tolist()
    print(json.dumps(line))
