#!/usr/bin/env python3
"""Images per second of OpenVINO on this machine's CPU; ../protocol.py tells how to drive it.

Inference only, of an ONNX file given by --onnx (float32, or int8 as QDQ), by
the latency hint: one request at a time on all threads.
"""

import os
import sys

import openvino as ov  # before the path has the folder of this file, which has the same name

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import protocol  # noqa: E402


def main():
    args = protocol.flags(("infer",)).parse_args()
    if not args.onnx:
        raise SystemExit("--onnx FILE is missing")
    core = ov.Core()
    model = core.read_model(args.onnx)
    partial = model.input(0).partial_shape
    shape = protocol.closed(args, [d.get_length() if d.is_static else str(d) for d in partial])
    model.reshape(shape)
    compiled = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(args.threads),
        "INFERENCE_PRECISION_HINT": "bf16" if args.bf16 else "f32",  # what is int8 in the file stays int8
    })
    request = compiled.create_infer_request()
    x = protocol.batch(args, shape)
    feed = ov.Tensor(x, shared_memory=True)

    def step():
        request.infer({0: feed}, share_inputs=True)
        return request.get_output_tensor(0).data
    protocol.write_output(args, step())
    protocol.serve(args, {"peer": "openvino", "version": ov.__version__.split("-")[0], "variant": "CPU latency" + " bf16" * args.bf16}, step)


if __name__ == "__main__":
    main()
