"""Makes a small bottleneck ResNet, quantizes it and runs it, all by onnxruntime.

    python int8.py OUT

OUT gets bottleneck.onnx, in QDQ form as onnxruntime's quantizer writes it
(static, a scale for each output channel, int8 weights, uint8 activations), and
bottleneck.safetensors with x and the outputs y. The results are those of a
processor with VNNI: without, onnxruntime's sums of pairs saturate.

onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6, seed 0.
"""
import json
import os
import struct
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

out = sys.argv[1]
rng = np.random.default_rng(0)
nodes, weights = [], []


def add(op, inputs, **attrs):
    y = f"{op.lower()}{len(nodes)}"
    nodes.append(helper.make_node(op, inputs, [y], y, **attrs))
    return y


def tensor(*shape, scale):
    name = f"w{len(weights)}"
    weights.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
    return name


def conv(x, c, k, r, stride=1):
    w, b = tensor(k, c, r, r, scale=(2 / (c * r * r)) ** 0.5), tensor(k, scale=0.2)
    return add("Conv", [x, w, b], kernel_shape=[r, r], strides=[stride] * 2, pads=[r // 2] * 4)


def block(x, c, mid, k, stride=1):
    y = add("Relu", [conv(x, c, mid, 1)])
    y = add("Relu", [conv(y, mid, mid, 3, stride)])
    y = conv(y, mid, k, 1)
    return add("Relu", [add("Add", [y, x if c == k and stride == 1 else conv(x, c, k, 1, stride)])])


x = add("Relu", [conv("input", 3, 16, 7, 2)])
x = add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
x = block(x, 16, 8, 32)
x = block(x, 32, 8, 32)
x = block(x, 32, 16, 48, 2)
x = add("Flatten", [add("GlobalAveragePool", [x])])
nodes.append(helper.make_node("Gemm", [x, tensor(10, 48, scale=0.3), tensor(10, scale=0.2)], ["logits"], "fc", transB=1))
value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
graph = helper.make_graph(nodes, "bottleneck", [value("input", 3, 40, 36)], [value("logits", 10)], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model, full_check=True)


class Random(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"input": rng.standard_normal((4, 3, 40, 36)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


path = os.path.join(out, "bottleneck.onnx")
with tempfile.TemporaryDirectory() as tmp:
    onnx.save(model, os.path.join(tmp, "float.onnx"))
    quantize_static(os.path.join(tmp, "float.onnx"), path, Random(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)

x = rng.standard_normal((3, 3, 40, 36)).astype(np.float32)
opt = ort.SessionOptions()
opt.intra_op_num_threads = 1
y = ort.InferenceSession(path, opt, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]
header, data = {}, b""
for name, a in (("x", x), ("y", y)):
    header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
    data += a.tobytes()
header = json.dumps(header).encode()
with open(os.path.join(out, "bottleneck.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(header)) + header + data)
