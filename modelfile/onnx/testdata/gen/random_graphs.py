"""random_graphs.py DIR SEED COUNT: COUNT random ONNX graphs, and what onnxruntime computes by them, as DIR/SEED-N in the
layout of the official operator tests: model.onnx and test_data_set_0/{input,output}_I.pb.

Each graph has one to twelve operators over tensors of ranks 1 to 6, with batches of 1 to 3, values that several operators
read, one to three outputs, and attributes drawn at random. onnxruntime runs with its optimizations disabled. Graphs that
it refuses are left out. DIR/seed is the number of the last graph begun. Prints the number of graphs written.
"""

import os
import random
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

UNARY = ("Relu Sigmoid Tanh Abs Neg Exp Sqrt Erf Softplus Softsign Elu Selu LeakyRelu HardSigmoid HardSwish Celu Gelu Mish "
         "ThresholdedRelu Clip Floor Ceil Reciprocal Identity Log").split()
REDUCE = "ReduceSum ReduceMean ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp ReduceProd".split()
BINARY = "Add Sub Mul Max Min Div Pow".split()
MOST = 6000  # elements of a tensor


class Graph:
    def __init__(self, seed):
        self.r, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.nodes, self.inits, self.n = [], [], 0
        self.values = []  # (name, shape) of all that can be read

    def name(self):
        self.n += 1
        return f"v{self.n}"

    def const(self, a):
        name = self.name()
        self.inits.append(nh.from_array(np.ascontiguousarray(a), name))
        return name

    def ints(self, *v):
        return self.const(np.array(v, np.int64))

    def floats(self, *shape, scale=1.0):
        return self.const((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def op(self, kind, *ins, outs=1, **attrs):
        names = [self.name() for _ in range(outs)]
        self.nodes.append(h.make_node(kind, list(ins), names, **attrs))
        return names[0] if outs == 1 else names

    def step(self):
        r = self.r
        y, s = r.choice(self.values[-3:])
        k, a = len(s), r.randrange(len(s))
        kind = r.choice(STEPS)
        out = getattr(self, kind)(y, list(s), k, a)
        for name, shape in out or []:
            if 0 < np.prod(shape) <= MOST and 1 <= len(shape) <= 6:
                self.values.append((name, list(shape)))

    def unary(self, y, s, k, a):
        kind = self.r.choice(UNARY)
        if kind in ("Sqrt", "Log", "Reciprocal"):  # of positive numbers, not near zero
            y = self.op("Add", self.op("Abs", y), self.const(np.float32(0.5)))
        if kind == "Exp":
            y = self.op("Clip", y, self.const(np.float32(-3)), self.const(np.float32(3)))
        if kind == "Clip":
            return [(self.op("Clip", y, self.const(np.float32(-0.7)), self.const(np.float32(1.2))), s)]
        if kind in ("Floor", "Ceil"):  # of numbers that rounding cannot carry over a whole one
            y = self.op("Mul", self.op("Cast", self.op("Cast", y, to=T.INT32), to=T.FLOAT), self.const(np.float32(0.3)))
        return [(self.op(kind, y), s)]

    def binary(self, y, s, k, a):
        kind = self.r.choice(BINARY)
        same = [v for v, t in self.values if t == s]
        if self.r.random() < 0.3:
            b = self.r.choice(same)
        else:
            q = self.r.randint(0, k)
            b = self.floats(*[d if self.r.random() < 0.6 else 1 for d in s[k - q:]])
        if kind == "Div":
            b = self.op("Add", self.op("Abs", b), self.const(np.float32(0.5)))
        if kind == "Pow":
            y, b = self.op("Add", self.op("Abs", y), self.const(np.float32(0.5))), self.const(np.float32(self.r.choice([2, 0.5, 1.5, 3])))
        pair = [y, b] if self.r.random() < 0.5 or kind in ("Div", "Pow") else [b, y]
        return [(self.op(kind, *pair), s)]

    def middle(self, y, s, k, a):
        """Combines a value with its own reduction, in either order."""
        m = self.op(self.r.choice(["ReduceMax", "ReduceMean"]), y, self.ints(a), keepdims=1) if self.r.random() < 0.5 else self.op("ReduceMax", y, keepdims=1)
        return [(self.op(self.r.choice(["Mul", "Sub", "Add"]), *self.r.sample([y, m], 2)), s)]

    def reduce(self, y, s, k, a):
        axes = sorted(self.r.sample(range(k), self.r.randint(1, k)))
        keep = self.r.randint(0, 1)
        if not keep and len(axes) == k:
            keep = 1
        kind = self.r.choice(REDUCE)
        given = [x - k if self.r.random() < 0.3 else x for x in axes]
        if kind == "ReduceProd":
            y = self.op("Tanh", y)
        return [(self.op(kind, y, self.ints(*given), keepdims=keep), [1 if i in axes else d for i, d in enumerate(s) if keep or i not in axes])]

    def transpose(self, y, s, k, a):
        p = self.r.sample(range(k), k)
        return [(self.op("Transpose", y, perm=p), [s[i] for i in p])]

    def reshape(self, y, s, k, a):
        t, out = int(np.prod(s)), []
        for _ in range(self.r.randint(0, 5)):
            d = self.r.choice([d for d in range(1, min(t, 32) + 1) if t % d == 0])
            out.append(d)
            t //= d
        out.insert(self.r.randint(0, len(out)), t)
        given = list(out)
        if self.r.random() < 0.3:
            given[self.r.randrange(len(given))] = -1
        return [(self.op("Reshape", y, self.ints(*given)), out)]

    def flatten(self, y, s, k, a):
        return [(self.op("Flatten", y, axis=a), [int(np.prod(s[:a])), int(np.prod(s[a:]))])]

    def unsqueeze(self, y, s, k, a):
        if k < 6:
            return [(self.op("Unsqueeze", y, self.ints(a)), s[:a] + [1] + s[a:])]

    def squeeze(self, y, s, k, a):
        if s[a] == 1 and k > 1:
            return [(self.op("Squeeze", y, self.ints(a)), s[:a] + s[a + 1:])]

    def concat(self, y, s, k, a):
        other = self.op(self.r.choice(["Relu", "Abs", "Neg"]), y)
        return [(self.op("Concat", *self.r.sample([y, other], 2), axis=a), s[:a] + [2 * s[a]] + s[a + 1:])]

    def slice(self, y, s, k, a):
        step = self.r.choice([1, 1, 2, 3, -1, -2])
        if step > 0:
            b, e = self.r.randint(0, s[a] - 1), s[a]
        else:
            b, e = s[a] - 1, -(2**31)
        n = len(range(b, e if step > 0 else -1, step))
        return [(self.op("Slice", y, self.ints(b), self.ints(e), self.ints(a), self.ints(step)), s[:a] + [n] + s[a + 1:])]

    def split(self, y, s, k, a):
        if s[a] < 2:
            return
        first = self.r.randint(1, s[a] - 1)
        outs = self.op("Split", y, self.ints(first, s[a] - first), outs=2, axis=a)
        return [(outs[0], s[:a] + [first] + s[a + 1:]), (outs[1], s[:a] + [s[a] - first] + s[a + 1:])]

    def pad(self, y, s, k, a):
        mode = self.r.choice(["constant", "reflect", "edge"])
        lo, hi = self.r.randint(0, 2), self.r.randint(0, 2)
        if mode == "reflect" and s[a] <= 2:
            return
        p = [0] * (2 * k)
        p[a], p[k + a] = lo, hi
        extra = [self.const(np.float32(0.25))] if mode == "constant" and self.r.random() < 0.5 else []
        return [(self.op("Pad", y, self.ints(*p), *extra, mode=mode), s[:a] + [s[a] + lo + hi] + s[a + 1:])]

    def tile(self, y, s, k, a):
        return [(self.op("Tile", y, self.ints(*[2 if i == a else 1 for i in range(k)])), s[:a] + [2 * s[a]] + s[a + 1:])]

    def expand(self, y, s, k, a):
        if s[a] == 1:
            return [(self.op("Expand", y, self.ints(*[3 if i == a else 1 for i in range(k)])), s[:a] + [3] + s[a + 1:])]

    def gather(self, y, s, k, a):
        i = self.r.randint(-s[a], s[a] - 1)
        if self.r.random() < 0.5 and k > 1:
            return [(self.op("Gather", y, self.const(np.int64(i)), axis=a), s[:a] + s[a + 1:])]
        return [(self.op("Gather", y, self.ints(i, 0), axis=a), s[:a] + [2] + s[a + 1:])]

    def softmax(self, y, s, k, a):
        return [(self.op(self.r.choice(["Softmax", "LogSoftmax"]), y, axis=self.r.choice([a, a - k])), s)]

    def matmul(self, y, s, k, a):
        n = self.r.choice([1, 3, 8])
        if k >= 2 and self.r.random() < 0.3:  # by a value
            p = list(range(k - 2)) + [k - 1, k - 2]
            other = self.op("Transpose", y, perm=p)
            return [(self.op("MatMul", y, other), s[:-1] + [s[-2]])]
        if k >= 2:
            return [(self.op("MatMul", y, self.floats(s[-1], n, scale=0.5)), s[:-1] + [n])]

    def gemm(self, y, s, k, a):
        if k != 2:
            return
        n, trans_a, trans_b = self.r.choice([1, 5]), self.r.randint(0, 1), self.r.randint(0, 1)
        m, inner = (s[1], s[0]) if trans_a else s
        w = self.floats(*([n, inner] if trans_b else [inner, n]), scale=0.5)
        c = [self.floats(*self.r.choice([[n], [1, n], [1]]))] if self.r.random() < 0.7 else []
        return [(self.op("Gemm", y, w, *c, transA=trans_a, transB=trans_b, alpha=self.r.choice([1.0, 0.5]), beta=self.r.choice([1.0, 2.0])), [m, n])]

    def layernorm(self, y, s, k, a):
        shape = s[a:]
        return [(self.op("LayerNormalization", y, self.floats(*shape), self.floats(*shape), axis=a, epsilon=0.1), s)]

    def batchnorm(self, y, s, k, a):
        if k < 3:
            return
        c = s[1]
        var = self.const((self.rng.random(c) + 0.5).astype(np.float32))
        return [(self.op("BatchNormalization", y, self.floats(c), self.floats(c), self.floats(c), var), s)]

    def instancenorm(self, y, s, k, a):
        if k in (3, 4, 5) and np.prod(s[2:]) > 1:
            return [(self.op("InstanceNormalization", y, self.floats(s[1]), self.floats(s[1]), epsilon=0.1), s)]

    def conv(self, y, s, k, a):
        if k != 4:
            return
        n, c, hh, ww = s
        groups = self.r.choice([g for g in (1, 2, 3, 4, c) if c % g == 0])
        out = groups * self.r.choice([1, 2, 4])
        kh, kw = self.r.choice([(1, 1), (3, 3), (3, 1), (2, 2), (5, 3)])
        sh, sw, dh, dw = self.r.choice([1, 1, 2]), self.r.choice([1, 1, 2]), self.r.choice([1, 1, 2]), self.r.choice([1, 1, 2])
        p = [self.r.randint(0, 2) for _ in range(4)]
        oh = (hh + p[0] + p[2] - dh * (kh - 1) - 1) // sh + 1
        ow = (ww + p[1] + p[3] - dw * (kw - 1) - 1) // sw + 1
        if oh < 1 or ow < 1:
            return
        bias = [self.floats(out)] if self.r.random() < 0.5 else []
        w = self.floats(out, c // groups, kh, kw, scale=0.5)
        return [(self.op("Conv", y, w, *bias, group=groups, strides=[sh, sw], dilations=[dh, dw], pads=p), [n, out, oh, ow])]

    def pool(self, y, s, k, a):
        if k != 4:
            return
        kind = self.r.choice(["MaxPool", "AveragePool"])
        kh, kw, sh, sw = self.r.randint(1, 3), self.r.randint(1, 3), self.r.randint(1, 2), self.r.randint(1, 2)
        p = [self.r.randint(0, kh - 1), self.r.randint(0, kw - 1), self.r.randint(0, kh - 1), self.r.randint(0, kw - 1)]
        attrs = {"count_include_pad": self.r.randint(0, 1)} if kind == "AveragePool" else {}
        oh, ow = (s[2] + p[0] + p[2] - kh) // sh + 1, (s[3] + p[1] + p[3] - kw) // sw + 1
        if oh < 1 or ow < 1:
            return
        return [(self.op(kind, y, kernel_shape=[kh, kw], strides=[sh, sw], pads=p, **attrs), s[:2] + [oh, ow])]

    def globalpool(self, y, s, k, a):
        if k >= 3:
            return [(self.op(self.r.choice(["GlobalAveragePool", "GlobalMaxPool"]), y), s[:2] + [1] * (k - 2))]

    def resize(self, y, s, k, a):
        if k != 4:
            return
        mode = self.r.choice(["nearest", "linear"])
        fh, fw = self.r.choice([1, 2, 3]), self.r.choice([1, 2])
        attrs = {"coordinate_transformation_mode": self.r.choice(["half_pixel", "asymmetric"] + (["align_corners"] if mode == "linear" else []))}
        if mode == "nearest":
            attrs["nearest_mode"] = "floor" if attrs["coordinate_transformation_mode"] == "asymmetric" else "round_prefer_floor"
        return [(self.op("Resize", y, "", self.const(np.array([1, 1, fh, fw], np.float32)), mode=mode, **attrs), s[:2] + [s[2] * fh, s[3] * fw])]

    def depth(self, y, s, k, a):
        if k != 4:
            return
        if s[1] % 4 == 0:
            return [(self.op("DepthToSpace", y, blocksize=2, mode=self.r.choice(["DCR", "CRD"])), [s[0], s[1] // 4, 2 * s[2], 2 * s[3]])]
        if s[2] % 2 == 0 and s[3] % 2 == 0:
            return [(self.op("SpaceToDepth", y, blocksize=2), [s[0], 4 * s[1], s[2] // 2, s[3] // 2])]

    def where(self, y, s, k, a):
        c = self.op(self.r.choice(["Greater", "Less"]), y, self.const(np.float32(self.r.choice([0.123, -0.456]))))
        return [(self.op("Where", c, y, self.floats(*s[k - 1:])), s)]

    def cumulative(self, y, s, k, a):
        """A value through Shape, as exporters write a reshape."""
        shape = self.op("Shape", y)
        first = self.op("Gather", shape, self.ints(0), axis=0)
        return [(self.op("Reshape", y, self.op("Concat", first, self.ints(-1), axis=0)), [s[0], int(np.prod(s[1:]))])]


STEPS = ("unary unary binary binary middle reduce reduce transpose reshape reshape flatten unsqueeze squeeze concat slice split pad tile expand "
         "gather softmax matmul gemm layernorm batchnorm instancenorm conv conv pool globalpool resize depth where cumulative").split()


def one(seed, folder):
    g = Graph(seed)
    k = g.r.choice([1, 2, 3, 4, 4, 4, 5, 6])
    shape = [g.r.randint(1, 3)] + [g.r.randint(1, 5) for _ in range(k - 1)]
    g.values.append(("x", shape))
    for _ in range(g.r.randint(2, 12)):
        g.step()
    made = {o for n in g.nodes for o in n.output}
    values = [v for v in g.values if v[0] in made]
    if not values:
        return False
    outs = [values[-1]] + g.r.sample(values, min(len(values), g.r.randint(0, 2)))
    outs = list({name: (name, s) for name, s in outs}.values())
    graph = h.make_graph(g.nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, shape)],
                         [h.make_tensor_value_info(n, T.FLOAT, s) for n, s in outs], g.inits)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", g.r.choice([18, 20, 21]))], ir_version=9).SerializeToString()
    x = g.rng.standard_normal(shape).astype(np.float32)
    opt = ort.SessionOptions()
    opt.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    opt.intra_op_num_threads = opt.inter_op_num_threads = 1
    opt.log_severity_level = 4
    try:
        want = ort.InferenceSession(model, opt, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    except Exception as e:  # noqa: BLE001: whatever onnxruntime refuses is no case
        if os.environ.get("VERBOSE"):
            print(seed, str(e)[:200], file=sys.stderr)
        return False
    if not all(w.size > 0 and np.isfinite(w).all() and np.abs(w).max() < 1e6 for w in want):
        return False
    data = os.path.join(folder, "test_data_set_0")
    os.makedirs(data)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(model)
    for what, list_ in (("input", [x]), ("output", want)):
        for i, a in enumerate(list_):
            with open(os.path.join(data, f"{what}_{i}.pb"), "wb") as f:
                f.write(nh.from_array(a).SerializeToString())
    return True


if __name__ == "__main__":
    folder, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    made = 0
    for n in range(seed, seed + count):
        with open(os.path.join(folder, "seed"), "w") as f:  # of a graph that ends onnxruntime itself
            f.write(str(n))
        made += one(n, os.path.join(folder, f"random-{n}"))
    print(made)
