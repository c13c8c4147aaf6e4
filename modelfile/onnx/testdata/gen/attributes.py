#!/usr/bin/python3
"""attributes.py: the attributes that each operator of ONNX has, from the schemas of the package onnx, as attributes.txt.

A line is OPERATOR OPSET NAME…: the attributes from that opset on, until the next line of the operator.
"""

import os

import onnx
from onnx import defs

versions = {}
for s in defs.get_all_schemas_with_history():
    if s.domain == "" and (s.attributes or not s.deprecated):
        versions.setdefault(s.name, {})[s.since_version] = sorted(s.attributes)
path = os.path.join(os.path.dirname(__file__), "..", "..", "attributes.txt")
with open(path, "w") as f:
    f.write(f"# The attributes of ONNX's operators, by testdata/gen/attributes.py from onnx {onnx.__version__}.\n")
    for name in sorted(versions):
        before = None
        for since in sorted(versions[name]):
            if versions[name][since] != before:
                before = versions[name][since]
                f.write(" ".join([name, str(since), *before]) + "\n")
