"""What the servers in this folder share: pictures prepared as torchvision does, and onnxruntime.

The environment variable PREPROCESS has how pictures are prepared, as the JSON in the metadata
of resnet's model files; without it, ImageNet's.
"""

import io
import json
import os

import numpy as np
import onnxruntime
from PIL import Image

P = {"width": 224, "height": 224, "resize": 256, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]} | json.loads(os.environ.get("PREPROCESS", "{}"))
MEAN, STD = np.float32(P["mean"]), np.float32(P["std"])


def prepare(file):
    """Resizes the shorter side, or both sides to the input's, and crops the middle."""
    im = Image.open(io.BytesIO(file)).convert("RGB")
    (w, h), size = im.size, P.get("resize", 0)
    if P.get("squash"):
        im = im.resize((P["width"], P["height"]), Image.BILINEAR)
    elif size:
        im = im.resize((int(size * w / h) if w > h else size, int(size * h / w) if h > w else size), Image.BILINEAR)
    x, y = int(round((im.width - P["width"]) / 2)), int(round((im.height - P["height"]) / 2))
    return ((np.asarray(im.crop((x, y, x + P["width"], y + P["height"])), np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
