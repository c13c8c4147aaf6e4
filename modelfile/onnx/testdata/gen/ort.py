"""Checks a model by onnx.checker and runs it by onnxruntime.

    python ort.py MODEL.onnx IN.safetensors OUT.safetensors

IN holds x; OUT gets y, the model's first output. onnx 1.23.2, onnxruntime
1.32.0, numpy 2.4.6. Shape inference is strict, so declared shapes must agree.
"""
import json
import struct
import sys

import numpy as np
import onnx
import onnxruntime as ort

model, src, dst = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
with open(src, "rb") as f:
    n, = struct.unpack("<Q", f.read(8))
    header = json.loads(f.read(n))
    data = f.read()
lo, hi = header["x"]["data_offsets"]
x = np.frombuffer(data[lo:hi], np.float32).reshape(header["x"]["shape"])
opt = ort.SessionOptions()
opt.log_severity_level = 3
opt.intra_op_num_threads = 1
s = ort.InferenceSession(model, opt, providers=["CPUExecutionProvider"])
name = s.get_inputs()[0].name
shape = s.get_inputs()[0].shape
if isinstance(shape[0], int) and shape[0] != len(x):  # a fixed batch
    y = np.concatenate([s.run(None, {name: x[i:i + 1]})[0] for i in range(len(x))])
else:
    y = s.run(None, {name: x})[0]
h = json.dumps({"y": {"dtype": "F32", "shape": list(y.shape), "data_offsets": [0, y.nbytes]}}).encode()
with open(dst, "wb") as f:
    f.write(struct.pack("<Q", len(h)) + h + np.ascontiguousarray(y).tobytes())
