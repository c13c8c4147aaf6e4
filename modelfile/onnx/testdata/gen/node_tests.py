"""Writes the newest official operator tests, in the layout of libonnx-testdata.

    python node_tests.py OUT       run by TestNewOperators

The package onnx (1.23.2) makes its tests from code.
"""
import os
import sys

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

out = sys.argv[1]
for case in collect_testcases(None):
    kinds = [v.type for v in list(case.model.graph.input) + list(case.model.graph.output)]
    if not all(k.HasField("tensor_type") for k in kinds):
        continue  # sequences and optional values
    d = os.path.join(out, case.name)
    os.makedirs(d, exist_ok=True)
    with open(os.path.join(d, "model.onnx"), "wb") as f:
        f.write(case.model.SerializeToString())
    for i, (inputs, outputs) in enumerate(case.data_sets):
        s = os.path.join(d, f"test_data_set_{i}")
        os.makedirs(s, exist_ok=True)
        for kind, arrays, values in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
            for j, a in enumerate(arrays):
                t = a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), values[j].name)
                with open(os.path.join(s, f"{kind}_{j}.pb"), "wb") as f:
                    f.write(t.SerializeToString())
