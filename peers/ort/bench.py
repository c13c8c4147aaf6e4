#!/usr/bin/env python3
"""Images per second of onnxruntime on this machine's CPU; ../protocol.py tells how to drive it.

Inference only. The model is written by ../torch/export_onnx.py with Debian's
PyTorch (--exporter-python) and kept in --cache, or given by --onnx FILE.
"""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import protocol  # noqa: E402

import onnxruntime as ort  # noqa: E402


def export(args):
    os.makedirs(args.cache, exist_ok=True)
    path = os.path.join(args.cache, f"{args.model}-b{args.batch}-s{args.size}.onnx")
    if not os.path.exists(path):
        script = os.path.join(HERE, "..", "torch", "export_onnx.py")
        tmp = f"{path}.{os.getpid()}.tmp"
        r = subprocess.run([args.exporter_python, script, args.model, str(args.batch), str(args.size), tmp],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode:
            raise SystemExit(f"{r.stdout}\nexporting {args.model} to ONNX failed")
        os.replace(tmp, path)
    return path


def main():
    p = protocol.flags(("infer",))
    p.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "resnet-peers"))
    p.add_argument("--exporter-python", default="/usr/bin/python3", help="a Python with torch and torchvision")
    args = p.parse_args()
    if args.bf16:
        raise SystemExit("onnxruntime multiplies no bfloat16 numbers on CPUs")
    path = args.onnx or export(args)

    opt = ort.SessionOptions()
    opt.intra_op_num_threads = args.threads
    opt.inter_op_num_threads = 1
    opt.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(path, opt, providers=["CPUExecutionProvider"])
    inp = session.get_inputs()[0]
    args.onnx = path
    shape = protocol.closed(args, list(inp.shape))
    feed = {inp.name: protocol.batch(args, shape)}
    names = [session.get_outputs()[0].name]
    protocol.write_output(args, session.run(names, feed)[0])
    protocol.serve(args, {"peer": "ort", "version": ort.__version__, "variant": "CPUExecutionProvider"},
                   lambda: session.run(names, feed))


if __name__ == "__main__":
    main()
