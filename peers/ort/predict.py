"""From process start to the first prediction, with onnxruntime: what `resnet
predict --model FILE PICTURE` does.

    python predict.py FILE.onnx PICTURE

Prints the five likeliest class indices, and the times of loading the file and
of the prediction. Needs onnxruntime, numpy and Pillow.
"""
import sys
import time

start = time.perf_counter()
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
from PIL import Image  # noqa: E402

file, picture = sys.argv[1:]
imported = time.perf_counter()
session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
loaded = time.perf_counter()
im = Image.open(picture).convert("RGB")
scale = 256 / min(im.size)
im = im.resize((round(im.width * scale), round(im.height * scale)), Image.BILINEAR)
left, top = (im.width - 224) // 2, (im.height - 224) // 2
x = np.asarray(im.crop((left, top, left + 224, top + 224)), np.float32) / 255
x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
y = session.run(None, {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None].copy()})[0][0]
done = time.perf_counter()
print(np.argsort(-y)[:5].tolist())
print(f"import {imported - start:.3f} s, load {loaded - imported:.3f} s, predict {done - loaded:.3f} s", file=sys.stderr)
