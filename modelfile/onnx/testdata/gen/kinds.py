"""Makes small models of the kinds of ONNX files that people have, with onnxruntime's answers.

    python3 kinds.py DIR            every kind once (committed: testdata/kinds, seed 1)
    python3 kinds.py DIR SEED COUNT random graphs of the same operators, of ranks 2 to 6

Needs onnx and onnxruntime (committed: 1.23.2 and 1.32.0). Each NAME.onnx has a
NAME.json: the pictures [N C H W] that go in, as rows of numbers, and the scores of
their classes, computed one picture at a time where the file's batch is 1.
"""
import json
import pathlib
import random
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
R, P = np.random.RandomState(seed), random.Random(seed)
ort.set_default_logger_severity(4)
QUIET = ort.SessionOptions()
QUIET.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
QUIET.intra_op_num_threads = QUIET.inter_op_num_threads = 1


class Net:
    """A graph under construction; methods return the names of results."""

    def __init__(self):
        self.nodes, self.inits, self.functions, self.domains, self.n = [], [], [], {}, 0

    def name(self):
        self.n += 1
        return f"v{self.n}"

    def const(self, a, dtype=np.float32):
        k = self.name()
        self.inits.append(N.from_array(np.asarray(a, dtype), k))
        return k

    def i(self, *v):
        return self.const(v, np.int64)

    def op(self, kind, *ins, outs=1, domain="", out=None, **attrs):
        names = out or [self.name() for _ in range(outs)]
        if domain:
            self.domains[domain] = 1
        self.nodes.append(H.make_node(kind, list(ins), names, domain=domain, name=f"n{len(self.nodes)}", **attrs))
        return names[0] if len(names) == 1 else names

    def w(self, *s):
        return self.const(R.standard_normal(s) / np.sqrt(max(np.prod(s[1:]), 1)))

    def conv(self, x, c, k, size=3, stride=1, **a):
        return self.op("Conv", x, self.w(k, c, size, size), self.w(k), pads=[size // 2] * 4, strides=[stride] * 2, **a)

    def tail(self, x, c=4, classes=3, out=None, softmax=True):
        """Pool and classify."""
        f = self.op("Flatten", self.op("GlobalAveragePool", x))
        z = self.op("Gemm", f, self.const(2 * R.standard_normal((classes, c))), self.w(classes), transB=1, **({} if softmax else {"out": out}))
        return self.op("Softmax", z, axis=1, out=out) if softmax else z

    def model(self, shape=("N", 3, 8, 8), elem=T.FLOAT, outs=(("y", T.FLOAT, ("N", 3)),), opset=17, ir=8, more=()):
        vi = lambda n, e, s: H.make_tensor_value_info(n, e, list(s)) if s is not None else H.make_tensor_value_info(n, e, None)
        g = H.make_graph(self.nodes, "g", [vi("x", elem, shape)] + [vi(*m) for m in more], [vi(*o) if len(o) == 3 else o[0] for o in outs], self.inits)
        m = H.make_model(g, opset_imports=[H.make_opsetid("", opset)] + [H.make_opsetid(d, v) for d, v in self.domains.items()], functions=self.functions)
        m.ir_version = ir
        return m


def pictures(n=2, c=3, h=8, w=8, whole=False):
    x = R.rand(n, c, h, w).astype(np.float32)
    return np.floor(x * 256).clip(0, 255).astype(np.float32) if whole else (2 * x - 1).round(2)


def save(name, m, x, feed=lambda x: x, batch=None, answer=None, names=None, scores=None, extra=None, fixed=0):
    """Writes the model and what onnxruntime answers. feed brings pictures into the file's form; batch is what it takes at once."""
    b = m.SerializeToString()
    s = ort.InferenceSession(b, QUIET, providers=["CPUExecutionProvider"])
    answer = answer or m.graph.output[0].name
    rows = []
    for k in range(0, len(x), batch or len(x)):
        rows.append(s.run([answer], {"x": feed(x[k:k + (batch or len(x))])} | (extra or {}))[0])
    y = scores(rows) if scores else np.concatenate([np.asarray(r, np.float32).reshape(batch or len(x), -1) for r in rows])
    (out / f"{name}.onnx").write_bytes(b)
    d = {"shape": list(x.shape), "x": [float(f"{v:.4g}") for v in x.ravel()], "answer": answer, "scores": np.asarray(y, np.float64).round(7).tolist(), "batch": fixed}
    if names:
        d["names"] = names
    (out / f"{name}.json").write_text(json.dumps(d) + "\n")


def simple(name, body, c=3, k=4, opset=17, softmax=True, shape=("N", 3, 8, 8), **kw):
    """A convolution, an operator in the middle, and the classifier."""
    n = Net()
    y = body(n, n.conv("x", c, 4, stride=2))
    n.tail(y, k, out=["y"], softmax=softmax)
    save(name, n.model(shape, opset=opset), pictures(), **kw)


def every():
    # Batch and layout.
    for name, shape, target, fixed in (("reshape-fixed", (1, 3, 8, 8), (1, -1), 1), ("reshape-symbolic", ("N", 3, 8, 8), (1, 64), 1), ("reshape-last", (1, 3, 8, 8), (1, 64), 0)):
        n = Net()
        f = n.op("Reshape", n.op("Relu", n.conv("x", 3, 4, stride=2)), n.i(*target))
        n.op("Gemm", f, n.w(3, 64), n.w(3), transB=1, out=["y"])
        save(name, n.model(shape, outs=(("y", T.FLOAT, (shape[0], 3)),)), pictures(3), batch=1, fixed=fixed)
    n = Net()  # pictures of a batch are mixed: one at a time
    y = n.conv("x", 3, 4, stride=2)
    y = n.op("Sub", y, n.op("ReduceMean", y, axes=[0], keepdims=1))
    y = n.op("Add", y, n.op("ReduceMean", y, axes=[0, 2, 3], keepdims=1))
    y = n.op("Concat", n.op("Relu", n.conv("x", 3, 4, stride=2)), y, axis=1)
    n.tail(y, 8, out=["y"])
    save("mixes-batch", n.model((1, 3, 8, 8), outs=(("y", T.FLOAT, (1, 3)),)), pictures(3), batch=1, fixed=1)
    n = Net()
    n.tail(n.conv("x", 3, 4, stride=2), out=["y"])
    save("batch-of-two", n.model((2, 3, 8, 8), outs=(("y", T.FLOAT, (2, 3)),)), pictures(4), batch=2, fixed=0)
    n = Net()
    n.op("Gemm", n.op("Reshape", n.conv("x", 3, 4, stride=2), n.i(4, 64)), n.w(3, 64), transB=1, out=["z"])
    n.op("Sub", "z", n.op("ReduceMean", "z", axes=[0], keepdims=1), out=["y"])
    save("batch-of-four-mixed", n.model((4, 3, 8, 8), outs=(("y", T.FLOAT, (4, 3)),)), pictures(4), batch=4, fixed=4)
    nhwc = lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    n = Net()
    n.tail(n.conv(n.op("Transpose", "x", perm=[0, 3, 1, 2]), 3, 4), out=["y"])
    save("nhwc", n.model(("N", 8, 8, 3)), pictures(), feed=nhwc)
    n = Net()
    n.tail(n.conv(n.op("Transpose", "x", perm=[0, 3, 1, 2]), 1, 4), out=["y"])
    save("nhwc-gray-open", n.model(("N", "H", "W", 1)), pictures(c=1), feed=nhwc)
    n = Net()
    n.tail(n.conv(n.op("Unsqueeze", "x", n.i(1)), 1, 4), out=["y"])
    save("without-channels", n.model(("N", 8, 8)), pictures(c=1), feed=lambda x: x[:, 0])
    n = Net()
    n.op("Squeeze", n.tail(n.conv(n.op("Unsqueeze", "x", n.i(0)), 3, 4)), n.i(0), out=["y"])
    save("without-batch", n.model((3, 8, 8), outs=(("y", T.FLOAT, (3,)),)), pictures(), feed=lambda x: x[0], batch=1, fixed=1)
    for name, shape in (("open-channels", ("N", "C", 8, 8)), ("open-everything", ("N", "C", "H", "W")), ("no-shape", None)):
        n = Net()
        n.tail(n.conv("x", 3, 4), out=["y"])
        save(name, n.model(shape), pictures())
    n = Net()
    y = n.op("Flatten", n.conv("x", 3, 2, stride=4))
    n.op("Gemm", y, n.w(3, 2 * 8 * 8), transB=1, out=["y"])
    save("open-size-that-must-be-32", n.model(("N", 3, "H", "W")), pictures(n=1, h=32, w=32))
    # Types.
    for name, elem, dtype in (("uint8", T.UINT8, np.uint8), ("int32", T.INT32, np.int32), ("float16-input", T.FLOAT16, np.float16), ("double-input", T.DOUBLE, np.float64)):
        n = Net()
        y = n.op("Cast", "x", to=T.FLOAT)
        if "int" in name:
            y = n.op("Sub", n.op("Mul", y, n.const(1 / 127.5)), n.const(1))
        n.tail(n.conv(y, 3, 4), out=["y"])
        save(name, n.model(elem=elem), pictures(whole="int" in name), feed=lambda x: x.astype(dtype))
    n = Net()
    y = n.op("Cast", n.op("Transpose", "x", perm=[0, 3, 1, 2]), to=T.FLOAT)
    n.tail(n.conv(n.op("Div", y, n.const(255)), 3, 4), out=["y"])
    save("uint8-nhwc", n.model(("N", 8, 8, 3), elem=T.UINT8), pictures(whole=True), feed=lambda x: nhwc(x).astype(np.uint8))
    # Outputs.
    n = Net()
    f = n.op("GlobalAveragePool", n.conv("x", 3, 4))
    n.op("Flatten", f, out=["features"])
    n.op("Gemm", "features", n.w(3, 4), transB=1, out=["logits"])
    save("features-first", n.model(outs=(("features", T.FLOAT, ("N", 4)), ("logits", T.FLOAT, ("N", 3)))), pictures(), answer="logits")
    n = Net()
    y = n.conv("x", 3, 4)
    n.tail(y, out=["aux"])
    n.tail(n.op("Relu", y), out=["main"])
    save("aux-first", n.model(outs=(("aux", T.FLOAT, ("N", 3)), ("main", T.FLOAT, ("N", 3)))), pictures(), answer="main")
    n = Net()
    p, _ = n.op("MaxPool", n.conv("x", 3, 4), outs=2, kernel_shape=[2, 2], strides=[2, 2])
    d, _ = n.op("Dropout", p, outs=2)
    n.tail(d, out=["y"])
    save("unused-outputs", n.model(), pictures())
    n = Net()
    p, _ = n.op("MaxPool", n.conv("x", 3, 4), out=["p", "where"], kernel_shape=[2, 2], strides=[2, 2])
    n.tail(p, out=["y"])
    save("indices-as-output", n.model(outs=(("where", T.INT64, ("N", 4, 4, 4)), ("y", T.FLOAT, ("N", 3)))), pictures(), answer="y")
    n = Net()
    n.op("ArgMax", n.tail(n.conv("x", 3, 4), out=["z"]), axis=1, keepdims=0, out=["y"])
    m = n.model(outs=(("y", T.INT64, ("N",)), ("z", T.FLOAT, ("N", 3))))
    save("label-and-scores", m, pictures(), answer="z")
    n = Net()
    z = n.tail(n.conv("x", 3, 4))
    n.op("ArgMax", z, axis=1, keepdims=0, out=["y"])
    x = pictures()
    m = n.model(outs=(("y", T.INT64, ("N",)), (H.make_tensor_value_info(z, T.FLOAT, ["N", 3]),)))
    s = ort.InferenceSession(m.SerializeToString(), QUIET)
    want = s.run([z], {"x": x})[0]
    del m.graph.output[1]
    save("label-only", m, x, scores=lambda rows: want)
    n = Net()
    p = n.tail(n.conv("x", 3, 4), out=["p"])
    n.op("ZipMap", p, domain="ai.onnx.ml", out=["probabilities"], classlabels_strings=["ant", "bee", "cat"])
    n.op("ArgMax", p, axis=1, keepdims=0, out=["at"])
    n.op("LabelEncoder", "at", domain="ai.onnx.ml", out=["label"], keys_int64s=[0, 1, 2], values_strings=["ant", "bee", "cat"])
    zipmap = H.make_value_info("probabilities", H.make_sequence_type_proto(H.make_map_type_proto(T.STRING, H.make_tensor_type_proto(T.FLOAT, []))))
    n.domains["ai.onnx.ml"] = 3
    save("zipmap", n.model(outs=(("label", T.STRING, ("N",)), (zipmap,))), pictures(), answer="probabilities", names=["ant", "bee", "cat"],
         scores=lambda rows: [[r[c] for c in ("ant", "bee", "cat")] for r in rows[0]])
    for name, tail in (("ones-behind", lambda n, y: n.conv(n.op("GlobalAveragePool", y), 4, 3, size=1)),
                       ("softmax-of-ones-behind", lambda n, y: n.op("Softmax", n.conv(n.op("GlobalAveragePool", y), 4, 3, size=1), axis=1)),
                       ("one-in-the-middle", lambda n, y: n.op("Unsqueeze", n.tail(y), n.i(1)))):
        n = Net()
        n.op("Identity", tail(n, n.conv("x", 3, 4)), out=["y"])
        save(name, n.model(outs=(("y", T.FLOAT, None),)), pictures())
    # Control, functions, switches.
    n = Net()
    then = H.make_graph([H.make_node("Relu", ["c"], ["t"])], "then", [], [H.make_tensor_value_info("t", T.FLOAT, None)])
    other = H.make_graph([H.make_node("Neg", ["c"], ["e"])], "else", [], [H.make_tensor_value_info("e", T.FLOAT, None)])
    n.inits.append(N.from_array(np.array(True), "yes"))
    n.op("Identity", n.conv("x", 3, 4), out=["c"])
    n.tail(n.op("If", "yes", then_branch=then, else_branch=other), out=["y"])
    save("if-constant", n.model(), pictures())
    n = Net()
    n.op("Identity", n.conv("x", 3, 4), out=["c"])
    n.tail(n.op("If", n.op("Not", "training"), then_branch=then, else_branch=other), out=["y"])
    save("training-switch", n.model(more=(("training", T.BOOL, ()),)), pictures(), extra={"training": np.array(False)})
    n = Net()
    inner = H.make_function("mine", "Act", ["a"], ["b"], [H.make_node("LeakyRelu", ["a"], ["b"])], [H.make_opsetid("", 17)], ["alpha"])
    inner.node[0].attribute.extend([onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)])
    outer = H.make_function("mine", "Block", ["a", "w"], ["c"], [H.make_node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1]), H.make_node("Act", ["b"], ["c"], domain="mine", alpha=0.3)],
                            [H.make_opsetid("", 17), H.make_opsetid("mine", 1)])
    n.functions += [inner, outer]
    y = n.op("Block", "x", n.w(4, 3, 3, 3), domain="mine")
    y = n.op("Block", y, n.w(4, 4, 3, 3), domain="mine")
    n.tail(n.op("Act", y, domain="mine", alpha=0.1), out=["y"])
    save("functions", n.model(), pictures())
    # Normalizations.
    par = lambda n, k=4: (n.const(R.rand(k) + 0.5), n.w(k))
    n = Net()
    w = n.op("Reshape", n.w(1, 4, 27), n.i(1, 4, -1))
    w = n.op("BatchNormalization", w, *par(n), n.const(np.zeros(4)), n.const(np.ones(4)), outs=3, training_mode=1)[0]
    y = n.op("Conv", "x", n.op("Reshape", w, n.i(4, 3, 3, 3)), pads=[1] * 4)
    n.tail(y, out=["y"])
    save("standardized-weights", n.model(), pictures())
    simple("spatial-0", lambda n, y: n.op("BatchNormalization", y, *par(n), n.w(4), n.const(R.rand(4) + 0.5)))
    simple("group-norm-18", lambda n, y: n.op("GroupNormalization", y, *par(n, 2), num_groups=2), opset=18)
    simple("group-norm-21", lambda n, y: n.op("GroupNormalization", y, *par(n, 4), num_groups=2), opset=21)
    simple("instance-norm", lambda n, y: n.op("InstanceNormalization", y, *par(n)))
    simple("layer-norm", lambda n, y: n.op("LayerNormalization", y, n.const(R.rand(4) + 0.5), n.w(4), axis=-1))
    simple("lrn", lambda n, y: n.op("LRN", n.op("Relu", y), size=3, alpha=0.5, beta=0.75, bias=1.0))
    simple("lp-norm", lambda n, y: n.op("LpNormalization", y, axis=1, p=2))
    simple("mean-variance", lambda n, y: n.op("MeanVarianceNormalization", y, axes=[2, 3]))
    # Convolutions and pools.
    simple("huge-dilation", lambda n, y: n.op("Conv", y, n.w(4, 4, 3, 3), pads=[10000] * 4, dilations=[10000] * 2))
    simple("dilation-past-the-edge", lambda n, y: n.op("Conv", y, n.w(4, 4, 5, 5), pads=[6] * 4, dilations=[3] * 2, strides=[2, 1]))
    for mode, count in ((1, 1), (1, 0), (0, 1)):
        simple(f"average-ceil{mode}-count{count}", lambda n, y: n.op("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=mode, count_include_pad=count))
    simple("lp-pool", lambda n, y: n.op("LpPool", y, kernel_shape=[2, 2], strides=[2, 2], p=2))
    simple("conv-transpose", lambda n, y: n.op("ConvTranspose", y, n.w(4, 4, 3, 3), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]))
    # Element-wise.
    for op, attrs in (("ThresholdedRelu", {"alpha": 0.2}), ("Shrink", {"lambd": 0.2, "bias": 0.1}), ("Sign", {}), ("Celu", {"alpha": 0.7}), ("Selu", {}), ("HardSigmoid", {}), ("Mish", {}), ("Softsign", {}), ("Erf", {})):
        simple(op.lower(), lambda n, y: n.op(op, y, **attrs), opset=18)
    simple("prelu", lambda n, y: n.op("PRelu", y, n.const(R.rand(4, 1, 1))))
    simple("gem", lambda n, y: n.op("Pow", n.op("ReduceMean", n.op("Pow", n.op("Clip", y, n.const(1e-6)), n.const(2.7)), axes=[2, 3], keepdims=1), n.const(1 / 2.7)))
    simple("einsum", lambda n, y: n.op("Einsum", y, n.w(5, 4), equation="nchw,kc->nkhw"), k=5)
    simple("einsum-attention", lambda n, y: n.op("Einsum", n.op("Einsum", y, y, equation="nchw,ndhw->ncd"), y, equation="ncd,ndhw->nchw"))
    # Integers.
    q = lambda n, v, s, z, d: (n.const(v, d), n.const(s), n.const(z, d))
    n = Net()
    x8 = n.op("QuantizeLinear", "x", n.const(0.01), n.const(128, np.uint8))
    y = n.op("QLinearConv", x8, n.const(0.01), n.const(128, np.uint8), n.const(R.randint(-90, 90, (4, 3, 3, 3)), np.int8), n.const(R.rand(4) / 200 + 0.002), n.const(np.zeros(4), np.int8),
             n.const(0.02), n.const(120, np.uint8), n.const(R.randint(-900, 900, 4), np.int32), pads=[1] * 4)
    n.tail(n.op("DequantizeLinear", y, n.const(0.02), n.const(120, np.uint8)), out=["y"])
    save("qlinear-conv", n.model(), pictures())
    n = Net()
    f = n.op("Flatten", n.op("GlobalAveragePool", n.conv("x", 3, 4)))
    a, s, z = n.op("DynamicQuantizeLinear", f, outs=3)
    i = n.op("MatMulInteger", a, n.const(R.randint(0, 255, (4, 3)), np.uint8), z, n.const(128, np.uint8))
    n.op("Mul", n.op("Cast", i, to=T.FLOAT), n.op("Mul", s, n.const(0.01)), out=["y"])
    save("dynamic-quantization", n.model(), pictures(), batch=1, fixed=1)
    # As onnxruntime saves what it has optimized.
    n = Net()
    y = n.op("Relu", n.op("BatchNormalization", n.conv("x", 3, 4), *par(n), n.w(4), n.const(R.rand(4) + 0.5)))
    y = n.op("Relu", n.op("Add", n.conv(y, 4, 4), y))
    y = n.op("Clip", n.conv(y, 4, 4), n.const(0), n.const(6))
    n.tail(n.op("LeakyRelu", n.conv(y, 4, 4), alpha=0.2), out=["y"])
    m = n.model()
    o = ort.SessionOptions()
    o.graph_optimization_level, o.optimized_model_filepath = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, str(out / "optimized.tmp")
    ort.InferenceSession(m.SerializeToString(), o)
    fused = onnx.load(out / "optimized.tmp")
    (out / "optimized.tmp").unlink()
    assert any(d.op_type == "FusedConv" for d in fused.graph.node)
    save("optimized", fused, pictures())
    # Ends.
    def hand(n, y):
        z = n.tail(y, softmax=False)
        e = n.op("Exp", n.op("Sub", z, n.op("ReduceMax", z, axes=[1], keepdims=1)))
        return n.op("Div", e, n.op("ReduceSum", e, n.i(1), keepdims=1))
    n = Net()
    n.op("Identity", hand(n, n.conv("x", 3, 4)), out=["y"])
    save("softmax-by-hand", n.model(), pictures())
    n = Net()
    y = n.conv("x", 3, 4)
    n.op("Mul", n.op("Add", n.tail(y), n.tail(n.op("Relu", y))), n.const(0.5), out=["y"])
    save("mean-of-two", n.model(), pictures())
    # Known values. A position that comes twice has no defined value without a reduction.
    for mode in ("none", "add", "mul", "max", "min"):
        for kind in (np.float32, np.int32):
            n = Net()
            at = n.op("Reshape", n.i(0, 1, 2, -1, *((3, 0) if mode == "none" else (0, 1))), n.i(3, 2))
            old, new = (n.const(np.round(3 * R.standard_normal(s), 2), kind) for s in ((4, 2, 4), (3, 4)))
            known = n.op("Cast", n.op("ScatterND", old, at, new, reduction=mode), to=T.FLOAT)
            n.tail(n.op("Mul", n.conv("x", 3, 4, stride=2), n.op("ReduceSum", known, n.i(1), keepdims=0)), out=["y"])
            save(f"scatter-{mode}-{kind.__name__}", n.model(opset=18), pictures())


def step(n, y, s):
    """Adds a random operator; returns its output and shape, or None if it does not suit."""
    r, a = len(s), P.randint(1, len(s) - 1)
    kind = P.choice("transpose reshape reduce reduce unsqueeze squeeze concat slice binary self softmax split pad tile expand gather matmul norm unary unary conv pool resize d2s "
                    "groupnorm instancenorm lrn prelu convtranspose einsum arith clip pow q flatten".split())
    put = lambda d: s[:a] + ([d] if d else []) + s[a + 1:]
    if kind == "transpose":
        p = [0] + P.sample(range(1, r), r - 1)
        return n.op("Transpose", y, perm=p), [s[i] for i in p]
    if kind == "flatten":
        return n.op("Flatten", y, axis=1), [s[0], int(np.prod(s[1:]))]
    if kind == "reshape":
        t, o = int(np.prod(s[1:])), []
        for _ in range(P.randint(1, 4)):
            d = P.choice([d for d in range(1, min(t, 64) + 1) if t % d == 0])
            o.append(d)
            t //= d
        return n.op("Reshape", y, n.i(0, *o, P.choice([t, -1]))), [s[0], *o, t]
    if kind == "reduce" and r > 2:
        ax, keep = sorted(P.sample(range(1, r), P.randint(1, r - 2))), P.randint(0, 1)
        fn = P.choice("ReduceSum ReduceMean ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp".split())
        neg = [x - r if P.random() < .3 else x for x in ax]
        return n.op(fn, y, n.i(*neg), keepdims=keep), [1 if i in ax else d for i, d in enumerate(s) if keep or i not in ax]
    if kind == "unsqueeze" and r < 6:
        a = P.randint(1, r)
        return n.op("Unsqueeze", y, n.i(a)), s[:a] + [1] + s[a:]
    if kind == "squeeze" and s[a] == 1 and r > 2:
        return n.op("Squeeze", y, n.i(a)), put(0)
    if kind == "concat":
        return n.op("Concat", y, n.op(P.choice(["Relu", "Abs", "Sigmoid"]), y), axis=P.choice([a, a - r])), put(2 * s[a])
    if kind == "slice" and s[a] > 1:
        st = P.choice([1, 2, -1, -2])
        b, e = (P.randint(0, s[a] // 2), s[a]) if st > 0 else (s[a] - 1, -2**31)
        return n.op("Slice", y, n.i(b), n.i(e), n.i(a), n.i(st)), put(len(range(b, e if st > 0 else -1, st)))
    if kind == "binary":
        q = P.randint(0, r)
        sh = [d if P.random() < .6 else 1 for d in s[r - q:]]
        if q == r:
            sh[0] = 1
        c, v = P.choice([("Mul", 0), ("Add", 0), ("Max", 0), ("Min", 0), ("Sub", 0), ("Div", 1.5)])
        k = n.const(np.abs(R.standard_normal(sh)) + v if v else R.standard_normal(sh))
        return n.op(c, *P.choice([(y, k), (k, y)] if not v else [(y, k)])), s
    if kind == "self":
        m = n.op("ReduceMax", y, n.i(a), keepdims=1)
        return n.op(P.choice(["Mul", "Add", "Sub"]), *P.choice([(y, m), (m, y)])), s
    if kind == "arith":
        return n.op(P.choice(["Sum", "Mean", "Max", "Min"]), y, n.op("Tanh", y), n.op("Neg", y)), s
    if kind == "clip":
        return n.op("Clip", y, *P.choice([(n.const(-.5), n.const(.5)), (n.const(0), n.const(6)), (n.const(-.3),), ("", n.const(.4))])), s
    if kind == "pow":
        return n.op("Pow", n.op("Abs", y), n.const(P.choice([2, .5, 3, 1.3, 2.5]))), s
    if kind == "unary":
        c, at = P.choice([("Relu", {}), ("LeakyRelu", {"alpha": .2}), ("Elu", {"alpha": .8}), ("Selu", {}), ("Celu", {"alpha": .6}), ("HardSwish", {}), ("HardSigmoid", {}), ("Softplus", {}), ("Tanh", {}), ("Sigmoid", {}),
                          ("Erf", {}), ("Softsign", {}), ("ThresholdedRelu", {"alpha": .3}), ("Shrink", {"lambd": .2, "bias": .1}), ("Mish", {}), ("Exp", {}), ("Abs", {}), ("Neg", {})])
        return n.op(c, n.op("Clip", y, n.const(-20), n.const(8)) if c == "Exp" else y, **at), s
    if kind == "softmax":
        return n.op(P.choice(["Softmax", "Softmax", "LogSoftmax"]), y, axis=P.choice([a, a - r])), s
    if kind == "split" and s[a] % 2 == 0:
        u, v = n.op("Split", y, outs=2, axis=a, num_outputs=2)
        return n.op(P.choice(["Max", "Add"]), u, v), put(s[a] // 2)
    if kind == "pad":
        p, mode = [0] * (2 * r), P.choice(["constant", "reflect", "edge", "wrap"])
        p[a], p[r + a] = 1, 2
        if mode != "reflect" or s[a] > 3:
            return n.op("Pad", y, n.i(*p), mode=mode), put(s[a] + 3)
    if kind == "tile":
        return n.op("Tile", y, n.i(*[2 if i == a else 1 for i in range(r)])), put(2 * s[a])
    if kind == "expand" and s[a] == 1:
        return n.op("Expand", y, n.i(*[3 if i == a else 1 for i in range(r)])), put(3)
    if kind == "gather":
        i = P.randint(0, s[a] - 1)
        if P.random() < .5 and r > 2:
            return n.op("Gather", y, n.const(i, np.int64), axis=a), put(0)
        return n.op("Gather", y, n.i(i, 0, -1), axis=a), put(3)
    if kind == "matmul":
        k = P.choice([1, 4, 8])
        return n.op("MatMul", y, n.w(s[-1], k)), s[:-1] + [k]
    if kind == "einsum" and r == 4:
        k = P.choice([2, 5])
        return P.choice([(n.op("Einsum", y, n.w(k, s[1]), equation="abcd,kb->akcd"), [s[0], k, *s[2:]]), (n.op("Einsum", y, y, equation="abcd,aecd->abe"), [s[0], s[1], s[1]]),
                         (n.op("Einsum", y, equation="abcd->adb"), [s[0], s[3], s[1]])])
    if kind == "norm":
        return n.op("LayerNormalization", y, n.const(R.rand(s[-1]) + .5), n.w(s[-1]), axis=-1, epsilon=.1), s
    if kind == "q":
        z = n.const(120, np.uint8)
        return n.op("DequantizeLinear", n.op("QuantizeLinear", y, n.const(.05), z), n.const(.05), z), s
    if r == 4:
        if kind == "groupnorm" and s[1] % 2 == 0:
            return n.op("GroupNormalization", y, n.const(R.rand(s[1]) + .5), n.w(s[1]), num_groups=2, epsilon=.1), s
        if kind == "instancenorm":
            return n.op("InstanceNormalization", y, n.const(R.rand(s[1]) + .5), n.w(s[1]), epsilon=.1), s
        if kind == "lrn":
            return n.op("LRN", y, size=P.choice([1, 3, 5]), alpha=.3, bias=1.), s
        if kind == "prelu":
            return n.op("PRelu", y, n.const(R.standard_normal(P.choice([[s[1], 1, 1], [1], s[1:]])))), s
        if kind == "conv":
            g = P.choice([1, s[1]])
            k, size, d, st = 4 if g == 1 else s[1], P.choice([1, 3]), P.choice([1, 2, 3]), P.choice([1, 2])
            pad = P.choice([0, 1, 2, 4])
            if min(s[2:]) + 2 * pad > (size - 1) * d:
                f = lambda x: (x + 2 * pad - (size - 1) * d - 1) // st + 1
                return n.op("Conv", y, n.w(k, s[1] // g, size, size), n.w(k), pads=[pad] * 4, dilations=[d, d], strides=[st, st], group=g), [s[0], k, f(s[2]), f(s[3])]
        if kind == "convtranspose":
            st = P.choice([1, 2])
            return n.op("ConvTranspose", y, n.w(s[1], 3, 3, 3), strides=[st, st], pads=[1] * 4), [s[0], 3, (s[2] - 1) * st + 1, (s[3] - 1) * st + 1]
        if kind == "pool" and min(s[2:]) > 2:
            c, ceil = P.choice([0, 1]), P.choice([0, 1])
            f = lambda x: -(-(x - 1) // 2) + 1 if ceil else (x - 1) // 2 + 1
            g = lambda x: f(x) - (1 if ceil and (f(x) - 1) * 2 >= x + 1 else 0)
            at = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": ceil}
            return (n.op("MaxPool", y, **at) if c else n.op("AveragePool", y, count_include_pad=P.choice([0, 1]), **at)), [s[0], s[1], g(s[2]), g(s[3])]
        if kind == "resize":
            mode = P.choice(["nearest", "linear", "cubic"])
            return n.op("Resize", y, "", n.const([1, 1, 2, 2]), mode=mode, coordinate_transformation_mode=P.choice(["half_pixel", "asymmetric", "align_corners"])), [s[0], s[1], 2 * s[2], 2 * s[3]]
        if kind == "d2s" and s[1] % 4 == 0:
            return n.op("DepthToSpace", y, blocksize=2, mode=P.choice(["DCR", "CRD"])), [s[0], s[1] // 4, 2 * s[2], 2 * s[3]]


def randoms(count):
    made = refused = 0
    while made < count:
        n = Net()
        c = P.choice([2, 4, 6])
        y, s, kinds = n.conv("x", 3, c), [2, c, 8, 8], []
        for _ in range(P.randint(3, 9)):
            t = step(n, y, s)
            if t and np.prod(t[1]) <= 6000 and len(t[1]) <= 6:
                (y, s), k = t, n.nodes[-1].op_type
                kinds.append(k)
        f = n.op("Flatten", y)
        k = int(np.prod(s[1:]))
        n.op("Gemm", f, n.const(R.standard_normal((3, k)) / np.sqrt(k)), transB=1, out=["y"])
        try:
            save(f"r{seed}-{made:05d}", n.model(opset=21, ir=10), pictures())
        except Exception as e:
            refused += 1
            if refused > 10 * count:
                raise
            continue
        made += 1
    print(made, "graphs;", refused, "that onnxruntime refuses")


if len(sys.argv) > 3:
    randoms(int(sys.argv[3]))
else:
    every()
