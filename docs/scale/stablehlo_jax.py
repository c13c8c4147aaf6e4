"""Runs a network that resnet export --stablehlo has written, by JAX.

    resnet convert resnet50@weights.pth resnet50.safetensors
    resnet export --stablehlo --batch 2 resnet50.safetensors -o resnet50.mlir --json > resnet50.json
    python stablehlo_jax.py resnet50.json resnet50.safetensors [OTHER.onnx]

OTHER.onnx, by resnet convert, is run by onnxruntime, and the outputs are compared.
Tested with jax 0.10.2 and onnxruntime 1.32.0.
"""
import json
import sys

import jax
import numpy as np
from jax.extend import backend
from safetensors.numpy import load_file

report, weights = json.load(open(sys.argv[1])), load_file(sys.argv[2])
client = backend.get_backend("cpu")
with open(report["out"]) as f:
    program = client.compile_and_load(f.read(), client.devices()[:1])

x = np.random.default_rng(0).standard_normal(report["arguments"][0]["shape"]).astype("float32")
arguments = [weights[a["name"]] if a["variable"] else x for a in report["arguments"]]
results = program.execute_sharded([jax.device_put(a) for a in arguments])
logits = np.asarray(results.disassemble_into_single_device_arrays()[0][0])
print(logits.shape, logits.argmax(1))

if len(sys.argv) > 3:
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[3])
    want = session.run(None, {session.get_inputs()[0].name: x})[0]
    off = np.abs(logits - want).max() / np.abs(want).max()
    print(f"differs from onnxruntime by {off:.2g} of the largest")
    assert off < 1e-4
