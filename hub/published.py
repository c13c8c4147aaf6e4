"""Writes published.json: the weights of residual networks that torchvision, Keras
and timm publish, with their files, checksums, accuracies and preparation of
pictures, as those packages themselves describe them.

    pip install torchvision keras timm
    python published.py
"""

import json
import os
import re

os.environ["KERAS_BACKEND"] = "torch"  # two backends in one process do not get along
import keras
import timm
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

# timm's weights on the Hugging Face hub, of the networks that this project builds.
# timm's package states no accuracies; they are on the models' pages.
ARCHITECTURES = ["ecaresnet50d", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet18d", "resnet34d", "resnet50d",
                 "resnet101d", "resnet152d", "resnetblur50", "resnetv2_18", "resnetv2_34", "resnetv2_50", "resnetv2_101", "resnext50_32x4d",
                 "resnext101_32x8d", "resnext101_64x4d", "seresnet50", "seresnext50_32x4d", "wide_resnet50_2", "wide_resnet101_2"]
for full in timm.list_pretrained():
    if full.split(".")[0] not in ARCHITECTURES:
        continue
    cfg = timm.get_pretrained_cfg(full)
    if not cfg.hf_hub_id or cfg.hf_hub_id != "timm/" + full or cfg.num_classes != 1000:
        continue
    out["models"].append({
        "from": "timm", "name": full, "weights": full.split(".")[1], "default": True, "dataset": "ImageNet-1K", "classes": cfg.num_classes,
        "license": cfg.license or "", "preprocess": {"crop": (cfg.test_input_size or cfg.input_size)[1], "interpolation": cfg.interpolation},
    })

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "published.json"), "w") as f:
    f.write('{\n "torchvision": "%s",\n "keras": "%s",\n "timm": "%s",\n "models": [\n' % (out["torchvision"], out["keras"], timm.__version__))
    f.write(",\n".join("  " + json.dumps(m) for m in out["models"]))
    f.write("\n ]\n}\n")

# The names of ImageNet's classes, in the order of the weights' outputs.
from torchvision.models._meta import _IMAGENET_CATEGORIES

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "imagenet.txt"), "w") as f:
    f.write("\n".join(_IMAGENET_CATEGORIES) + "\n")
