"""Writes published.json: the weights of residual networks that torchvision and
Keras publish, with their files, checksums, accuracies and preparation of
pictures, as those packages themselves describe them.

    pip install torchvision keras
    python published.py
"""

import json
import os
import re

os.environ["KERAS_BACKEND"] = "torch"  # two backends in one process do not get along
import keras
import torchvision
from keras.src.applications import resnet
from torchvision.models import get_model_weights, list_models

NAMES = re.compile(r"^(resnet\d+|resnext\w+|wide_resnet\w+|fcn_resnet\w+|deeplabv3_resnet\w+|retinanet\w+|fasterrcnn_resnet50\w+|maskrcnn\w+)$")

out = {"torchvision": torchvision.__version__, "keras": keras.__version__, "models": []}
for name in list_models():
    if not NAMES.match(name):
        continue
    weights = get_model_weights(name)
    for w in weights:
        dataset, metrics = next(iter(w.meta["_metrics"].items()))
        t = w.transforms()
        entry = {
            "from": "torchvision", "name": name, "weights": w.name, "default": w is weights.DEFAULT,
            "url": w.url, "sha256": re.search(r"-([0-9a-f]{8})\.pth$", w.url).group(1),
            "dataset": dataset, "metrics": metrics, "classes": len(w.meta["categories"]),
            "params": w.meta["num_params"], "mb": w.meta["_file_size"], "license": "BSD-3-Clause",
        }
        if hasattr(t, "crop_size"):
            entry["preprocess"] = {"resize": t.resize_size[0], "crop": t.crop_size[0], "interpolation": t.interpolation.value}
        elif hasattr(t, "resize_size"):
            entry["preprocess"] = {"resize": t.resize_size[0], "interpolation": t.interpolation.value}
        out["models"].append(entry)

# keras.io/api/applications, table of available models.
ACCURACY = {"resnet50": (74.9, 92.1), "resnet101": (76.4, 92.8), "resnet152": (76.6, 93.1),
            "resnet50v2": (76.0, 93.0), "resnet101v2": (77.2, 93.8), "resnet152v2": (78.0, 94.2)}
BASE = resnet.BASE_WEIGHTS_PATH
for name, (top, notop) in resnet.WEIGHTS_HASHES.items():
    if name not in ACCURACY:
        continue
    for weights, end, md5 in (("imagenet", "", top), ("notop", "_notop", notop)):
        entry = {
            "from": "keras", "name": name, "weights": weights, "default": weights == "imagenet",
            "url": f"{BASE}{name}_weights_tf_dim_ordering_tf_kernels{end}.h5", "md5": md5, "license": "Apache-2.0",
            "dataset": "ImageNet-1K", "classes": 1000 if weights == "imagenet" else 0,
            "preprocess": {"preset": "keras-tf" if name.endswith("v2") else "keras-caffe"},
        }
        if weights == "imagenet":
            entry["metrics"] = dict(zip(("acc@1", "acc@5"), ACCURACY[name]))
        out["models"].append(entry)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "published.json"), "w") as f:
    f.write('{\n "torchvision": "%s",\n "keras": "%s",\n "models": [\n' % (out["torchvision"], out["keras"]))
    f.write(",\n".join("  " + json.dumps(m) for m in out["models"]))
    f.write("\n ]\n}\n")

# The names of ImageNet's classes, in the order of the weights' outputs.
from torchvision.models._meta import _IMAGENET_CATEGORIES

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "imagenet.txt"), "w") as f:
    f.write("\n".join(_IMAGENET_CATEGORIES) + "\n")
