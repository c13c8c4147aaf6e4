#!/usr/bin/python3
"""Goldens of the ops: values and gradients by PyTorch, in graph/testdata/ops.

Made with torch 1.13.0 (Debian 12's python3-torch), numpy 1.24.2; each case is
seeded with crc32(name) + SEED. Run: python3 graph/testdata/gen/ops.py

One safetensors file a case. Inputs in.0, in.1, ... (images N,C,H,W, convolution
weights O,I,H,W, linear weights O,I), outputs out.0, ..., the gradients given for
the outputs dout.0, ..., and the gradients found for the inputs din.0, ... (absent
where an input has none). Everything is computed in float64 from float32 inputs
and rounded once, so these are true values, not those of a float32 run. The
metadata has "op", and "attrs" as one JSON object.

Optimizer cases: in.0 is the parameter, in.1, in.2, in.3 are the gradients of
three steps, out.0, out.1, out.2 the parameter after each; attrs.lr has a rate a
step. EMA: in.0 the average, in.1.. the parameter at each step.

LARS (You, Gitman, Ginsburg 2017, arXiv 1708.03888, algorithm 1), v starting at 0:

    r = trust * |w| / (|g| + wd * |w| + eps), or 1 where |w| or |g| is 0
    v = momentum * v + lr * r * (g + wd * w)
    w = w - v

NVIDIA apex's LARC (clip=False) around SGD scales the gradient and leaves lr
outside of v; at a constant rate that is the same, and lars_constant_lr is made
in its form.
"""

import glob
import os
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "internal", "golden"))
import golden  # noqa: E402

SEED = 20
OUT = os.path.join(HERE, "..", "ops")
rng = None


def r(*shape, scale=1.0, shift=0.0):
    return np.asarray(rng.standard_normal(shape) * scale + shift, np.float32)


def labels(n, classes):
    return rng.integers(0, classes, n).astype(np.int64)


def start(name):
    global rng
    rng = np.random.default_rng(zlib.crc32(name.encode()) + SEED)


def save(name, op, attrs, tensors):
    golden.write(os.path.join(OUT, name + ".safetensors"), tensors,
                 {"op": op, "attrs": attrs, "torch": torch.__version__})


def case(name, op, attrs, make, fn, diff=None, ngrad=1):
    """Run fn on make()'s inputs in float64. diff: inputs with a gradient (default: all
    float ones); ngrad: the first so many outputs are differentiated."""
    start(name)
    ins = [np.asarray(x) for x in make()]
    xs = [torch.from_numpy(x).double() if x.dtype == np.float32 else torch.from_numpy(x) for x in ins]
    diff = [i for i, x in enumerate(ins) if x.dtype == np.float32] if diff is None else diff
    for i in diff:
        xs[i].requires_grad_()
    outs = fn(*xs)
    outs = outs if isinstance(outs, (tuple, list)) else (outs,)
    t = {f"in.{i}": x for i, x in enumerate(ins)}
    douts = []
    for i, o in enumerate(outs):
        o = o.detach()
        t[f"out.{i}"] = o.numpy().astype(np.float32 if o.is_floating_point() else np.int64)
        if i < ngrad and diff:
            douts.append(r(*o.shape))
            t[f"dout.{i}"] = douts[-1]
    if diff:
        torch.autograd.backward(outs[:ngrad], [torch.from_numpy(np.asarray(d)).double() for d in douts])
    for i in diff:
        t[f"din.{i}"] = xs[i].grad.numpy().astype(np.float32)
    save(name, op, attrs, t)


def conv(name, n, c, h, w, k, kh, kw, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, bias=False):
    attrs = dict(stride=stride, padding=pad, dilation=dilation, groups=groups)
    case("conv2d_" + name, "conv2d", attrs,
         lambda: [r(n, c, h, w), r(k, c // groups, kh, kw, scale=0.3)] + ([r(k)] if bias else []),
         lambda x, wt, b=None: F.conv2d(x, wt, b, stride, pad, dilation, groups))


def convs():
    conv("1x1", 2, 5, 4, 6, 7, 1, 1)
    conv("1x1_s2", 1, 4, 7, 7, 6, 1, 1, stride=(2, 2))
    conv("3x3_s1", 2, 3, 7, 6, 5, 3, 3, pad=(1, 1))
    conv("3x3_s1_odd", 1, 17, 5, 9, 19, 3, 3, pad=(1, 1))
    conv("3x3_s2", 2, 4, 9, 8, 6, 3, 3, stride=(2, 2), pad=(1, 1))
    conv("3x3_nopad", 1, 3, 6, 5, 4, 3, 3)
    conv("7x7_s2_p3", 1, 3, 17, 15, 4, 7, 7, stride=(2, 2), pad=(3, 3))
    conv("1x3", 1, 4, 5, 7, 3, 1, 3, pad=(0, 1))
    conv("5x2_s1x2_p2x1", 1, 3, 8, 9, 4, 5, 2, stride=(1, 2), pad=(2, 1))
    conv("dilation2", 1, 3, 9, 9, 4, 3, 3, pad=(2, 2), dilation=(2, 2))
    conv("dilation2_s2", 1, 3, 11, 10, 4, 3, 3, stride=(2, 2), pad=(2, 2), dilation=(2, 2))
    conv("groups4", 1, 8, 6, 5, 12, 3, 3, pad=(1, 1), groups=4)
    conv("groups4_s2_bias", 2, 8, 5, 5, 8, 3, 3, stride=(2, 2), pad=(1, 1), groups=4, bias=True)
    conv("depthwise", 1, 6, 5, 6, 6, 3, 3, pad=(1, 1), groups=6)
    conv("bias", 2, 3, 5, 5, 6, 3, 3, pad=(1, 1), bias=True)
    conv("stride3_k2", 1, 3, 8, 8, 4, 2, 2, stride=(3, 3))  # the last row and column are never read
    # padding of 4 numbers: top, bottom, left, right
    case("conv2d_asymmetric_pad", "conv2d", dict(stride=(2, 2), padding=(0, 1, 1, 2), dilation=(1, 1), groups=1),
         lambda: [r(1, 3, 6, 7), r(4, 3, 3, 3, scale=0.3)],
         lambda x, w: F.conv2d(F.pad(x, (1, 2, 0, 1)), w, stride=2))
    for name, n, i, o, bias in (("linear", 3, 7, 5, False), ("linear_bias", 4, 33, 10, True)):
        case(name, "linear", {}, lambda: [r(n, i), r(o, i)] + ([r(o)] if bias else []), F.linear)


def norms():
    def make(n, c, h, w):
        return lambda: [r(n, c, h, w, scale=2, shift=0.5), r(c, shift=1), r(c), r(c), 0.5 + np.abs(r(c))]

    def train(x, w, b, m, v):
        m, v = m.clone(), v.clone()
        return F.batch_norm(x, m, v, w, b, True, 0.1, 1e-5), m, v
    attrs = dict(training=True, momentum=0.1, eps=1e-5)
    # in: x, weight, bias, running mean, running variance; out: y and the new running ones
    case("batch_norm_train", "batch_norm", attrs, make(3, 5, 4, 3), train, [0, 1, 2])
    case("batch_norm_train_17ch", "batch_norm", attrs, make(2, 17, 3, 3), train, [0, 1, 2])
    case("batch_norm_eval", "batch_norm", dict(attrs, training=False), make(2, 5, 3, 4),
         lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, False, 0.1, 1e-5), [0, 1, 2])
    case("l2_normalize", "l2_normalize", dict(axis=1, eps=1e-12), lambda: [r(4, 9)],
         lambda x: F.normalize(x, dim=1))
    case("l2_normalize_nchw", "l2_normalize", dict(axis=1, eps=1e-12), lambda: [r(2, 5, 3, 2)],
         lambda x: F.normalize(x, dim=1))


def pools():
    def mp(name, make, k, s, p, ceil=False):
        case("max_pool2d_" + name, "max_pool2d", dict(kernel=k, stride=s, padding=p, ceil_mode=ceil), make,
             lambda x: F.max_pool2d(x, k, s, p, ceil_mode=ceil))
    mp("3_2_1", lambda: [r(2, 3, 8, 9)], (3, 3), (2, 2), (1, 1))
    mp("3_2_1_negative", lambda: [-1 - np.abs(r(1, 3, 7, 7))], (3, 3), (2, 2), (1, 1))
    mp("3_2_0_ceil", lambda: [r(1, 3, 8, 8)], (3, 3), (2, 2), (0, 0), True)
    mp("3_2_1_ceil", lambda: [r(1, 2, 9, 8)], (3, 3), (2, 2), (1, 1), True)
    # With padding, ceil mode must not add a window that lies in the padding altogether.
    mp("2_2_1_ceil_drop", lambda: [r(1, 2, 6, 6)], (2, 2), (2, 2), (1, 1), True)
    mp("2x3_1x2", lambda: [r(1, 2, 5, 7)], (2, 3), (1, 2), (0, 1))
    # Ties (zeros after a ReLU): the first element in row order gets the whole gradient.
    mp("3_2_1_ties", lambda: [np.maximum(r(1, 3, 8, 8), 0)], (3, 3), (2, 2), (1, 1))

    def ap(name, shape, k, s, p, include, ceil=False):
        case("avg_pool2d_" + name, "avg_pool2d",
             dict(kernel=k, stride=s, padding=p, count_include_pad=include, ceil_mode=ceil),
             lambda: [r(*shape)], lambda x: F.avg_pool2d(x, k, s, p, ceil, include))
    ap("2_2_0", (2, 3, 6, 7), (2, 2), (2, 2), (0, 0), True)
    ap("3_2_1_include", (1, 3, 7, 8), (3, 3), (2, 2), (1, 1), True)
    ap("3_2_1_exclude", (1, 3, 7, 8), (3, 3), (2, 2), (1, 1), False)
    ap("2_2_0_ceil_exclude", (1, 2, 7, 5), (2, 2), (2, 2), (0, 0), False, True)
    ap("3_2_1_ceil_include", (1, 2, 8, 6), (3, 3), (2, 2), (1, 1), True, True)
    case("global_avg_pool", "global_avg_pool", {}, lambda: [r(2, 5, 7, 6)],
         lambda x: F.adaptive_avg_pool2d(x, 1))


def unary():
    def edge(x, *vals):
        x.reshape(-1)[:len(vals)] = vals
        return x
    acts = {
        "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu,
        "exp": torch.exp, "abs": torch.abs, "square": torch.square, "softplus": F.softplus,
        "hard_sigmoid": F.hardsigmoid, "hard_swish": F.hardswish,
    }
    for name, fn in acts.items():
        case(name, name, {}, lambda: [edge(r(2, 3, 3, 4, scale=4), 0.0, -0.0, 6.0, 20.0, -20.0)], fn)
    case("leaky_relu", "leaky_relu", dict(negative_slope=0.01), lambda: [edge(r(2, 3, 3, 4), 0.0)],
         lambda x: F.leaky_relu(x, 0.01))
    case("gelu", "gelu", dict(approximate="none"), lambda: [edge(r(2, 3, 3, 4, scale=3), 0.0)], F.gelu)
    case("gelu_tanh", "gelu", dict(approximate="tanh"), lambda: [edge(r(2, 3, 3, 4, scale=3), 0.0)],
         lambda x: F.gelu(x, approximate="tanh"))
    case("clip", "clip", dict(min=-0.5, max=1.5), lambda: [edge(r(2, 3, 3, 4, scale=2), -0.5, 1.5)],
         lambda x: F.hardtanh(x, -0.5, 1.5))
    for name, fn in (("log", torch.log), ("sqrt", torch.sqrt), ("rsqrt", torch.rsqrt)):
        case(name, name, {}, lambda: [0.05 + np.abs(r(2, 3, 3, 4, scale=3))], fn)


def binary():
    ops = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
    shapes = {"same": ((2, 3, 2, 4), (2, 3, 2, 4)), "channel": ((2, 3, 4, 2), (1, 3, 1, 1)),
              "channel_left": ((1, 3, 1, 1), (2, 3, 4, 2)), "scalar": ((2, 3, 2, 2), ()),
              "both": ((2, 1, 3, 1), (1, 4, 1, 5)), "rank": ((2, 3, 4), (4,))}
    for op, fn in ops.items():
        for sname, (sa, sb) in shapes.items():
            def make():
                b = np.asarray(r(*sb))
                if op == "div":
                    b = (np.sign(b) * (0.5 + np.abs(b))).astype(np.float32)
                return [np.asarray(r(*sa)), b]
            case(f"{op}_{sname}", op, {}, make, fn)
    # On ties each side gets half of the gradient.
    for op, fn in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        def ties():
            a, b = r(2, 3, 2, 4), r(2, 3, 2, 4)
            b[0, 0] = a[0, 0]
            return [a, b]
        case(op + "_same", op, {}, ties, fn)
        case(op + "_channel", op, {}, lambda: [r(2, 3, 4, 2), r(1, 3, 1, 1)], fn)


def losses():
    for axis, shape in ((1, (3, 7)), (1, (2, 5, 2, 3)), (-1, (2, 3, 6))):
        tag = f"_{len(shape)}d"
        case("softmax" + tag, "softmax", dict(axis=axis), lambda: [r(*shape, scale=3)],
             lambda x: torch.softmax(x, axis))
        case("log_softmax" + tag, "log_softmax", dict(axis=axis), lambda: [r(*shape, scale=3)],
             lambda x: torch.log_softmax(x, axis))
    case("log_softmax_large", "log_softmax", dict(axis=1), lambda: [r(2, 5, scale=300)],
         lambda x: torch.log_softmax(x, 1))
    # in: logits N,C; labels N; class weights C if weighted. Mean as PyTorch does it: the weighted
    # sum over the sum of the labels' weights.
    for smooth in (0.0, 0.1):
        tag = "_smooth" if smooth else ""
        attrs = dict(label_smoothing=smooth, reduction="mean")
        case("cross_entropy" + tag, "cross_entropy", dict(attrs, weighted=False),
             lambda: [r(6, 10, scale=2), labels(6, 10)],
             lambda x, y: F.cross_entropy(x, y, label_smoothing=smooth))
        case("cross_entropy_weighted" + tag, "cross_entropy", dict(attrs, weighted=True),
             lambda: [r(6, 5, scale=2), labels(6, 5), 0.2 + np.abs(r(5))],
             lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=smooth), [0])

    def soft():
        t = np.abs(r(5, 7))
        return [r(5, 7, scale=2), (t / t.sum(1, keepdims=True)).astype(np.float32)]
    case("cross_entropy_soft", "cross_entropy_soft", dict(reduction="mean", label_smoothing=0.0), soft,
         lambda x, t: F.cross_entropy(x, t), [0])
    case("cross_entropy_soft_smooth", "cross_entropy_soft", dict(reduction="mean", label_smoothing=0.1), soft,
         lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), [0])
    case("cross_entropy_ignore", "cross_entropy",
         dict(label_smoothing=0.1, reduction="mean", weighted=False, ignore_index=-100),
         lambda: [r(4, 5), np.array([1, -100, 4, -100], np.int64)],
         lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), [0])

    def multi(extra):
        return lambda: [r(4, 6, scale=3), (r(4, 6) > 0).astype(np.float32)] + extra()
    case("bce_with_logits", "bce_with_logits", dict(reduction="mean"), multi(list),
         F.binary_cross_entropy_with_logits, [0])
    case("bce_with_logits_pos_weight", "bce_with_logits", dict(reduction="mean"), multi(lambda: [0.3 + np.abs(r(6))]),
         lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w), [0])


def shapes():
    reds = {"mean": lambda x, a, k: x.mean(a, k), "sum": lambda x, a, k: x.sum(a, k),
            "max": lambda x, a, k: x.amax(a, k)}
    for op, fn in reds.items():
        for axes, keep in (((2, 3), True), ((2, 3), False), ((1,), False), ((0, 2, 3), False), ((0, 1, 2, 3), False)):
            tag = "".join(map(str, axes)) + ("k" if keep else "")
            case(f"reduce_{op}_{tag}", "reduce_" + op, dict(axes=axes, keepdims=keep), lambda: [r(2, 3, 4, 3)],
                 lambda x: fn(x, axes, keep))
    # Equal maxima share the gradient equally.
    case("reduce_max_ties", "reduce_max", dict(axes=[1], keepdims=False), lambda: [np.maximum(r(4, 6), 0.5)],
         lambda x: x.amax(1))
    case("concat_channels", "concat", dict(axis=1), lambda: [r(2, 3, 3, 2), r(2, 1, 3, 2), r(2, 4, 3, 2)],
         lambda *x: torch.cat(x, 1))
    case("concat_batch", "concat", dict(axis=0), lambda: [r(1, 2, 3), r(2, 2, 3)], lambda *x: torch.cat(x, 0))
    case("slice", "slice", dict(axes=[1, 2], starts=[1, 0], ends=[4, 3], steps=[1, 1]), lambda: [r(2, 5, 4, 3)],
         lambda x: x[:, 1:4, 0:3])
    case("slice_step", "slice", dict(axes=[2, 3], starts=[0, 1], ends=[7, 6], steps=[2, 2]), lambda: [r(2, 3, 7, 6)],
         lambda x: x[:, :, 0:7:2, 1:6:2])
    # pads: begins of all axes, then ends of all axes, as ONNX has them
    case("pad_channels", "pad", dict(pads=[0, 2, 0, 0, 0, 2, 0, 0], value=0.0), lambda: [r(2, 3, 3, 2)],
         lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)))
    case("pad_spatial", "pad", dict(pads=[0, 0, 1, 2, 0, 0, 3, 0], value=-1.5), lambda: [r(2, 3, 3, 2)],
         lambda x: F.pad(x, (2, 0, 1, 3), value=-1.5))
    case("reshape", "reshape", dict(shape=[4, 15]), lambda: [r(2, 5, 3, 2)], lambda x: x.reshape(4, 15))
    case("flatten", "reshape", dict(shape=[2, 30]), lambda: [r(2, 5, 3, 2)], lambda x: x.flatten(1))
    for perm in ((0, 2, 3, 1), (1, 0, 3, 2), (3, 2, 1, 0)):
        case("permute_" + "".join(map(str, perm)), "permute", dict(perm=perm), lambda: [r(2, 3, 4, 5)],
             lambda x: x.permute(perm))
    case("permute_10", "permute", dict(perm=(1, 0)), lambda: [r(3, 5)], lambda x: x.permute(1, 0))


def upsample_and_matmul():
    for mode, kw in (("nearest", {}), ("bilinear", dict(align_corners=False))):
        for tag, hw, size in (("x2", (3, 4), (6, 8)), ("odd", (4, 3), (7, 8)), ("down", (7, 9), (4, 5))):
            case(f"upsample_{mode}_{tag}", "upsample_" + mode, dict(size=size, **kw), lambda: [r(2, 3, *hw)],
                 lambda x: F.interpolate(x, size=size, mode=mode, **kw))
    for ta in (False, True):
        for tb in (False, True):
            def mm(a, b):
                return (a.transpose(-1, -2) if ta else a) @ (b.transpose(-1, -2) if tb else b)
            for tag, batch in (("", ()), ("_batch", (3,))):
                case(f"matmul{tag}_{'t' if ta else 'n'}{'t' if tb else 'n'}", "matmul", dict(trans_a=ta, trans_b=tb),
                     lambda: [r(*batch, *((5, 4) if ta else (4, 5))), r(*batch, *((6, 5) if tb else (5, 6)))], mm)


LRS = (0.1, 0.1, 0.05)


def optim(name, op, attrs, step, p=None, lrs=LRS, gscale=1.0):
    """step(p, g, lr, state) returns the new p, all in float64 tensors."""
    start(name)
    p = r(3, 5) if p is None else p
    gs = [r(*p.shape, scale=gscale) for _ in lrs]
    t, state, w = {"in.0": p}, {}, torch.from_numpy(p).double()
    for i, (g, lr) in enumerate(zip(gs, lrs)):
        t[f"in.{i + 1}"] = g
        w = step(w, torch.from_numpy(g).double(), lr, state)
        t[f"out.{i}"] = w.detach().numpy().astype(np.float32)
    save(name, op, dict(attrs, lr=lrs), t)


def torch_step(make):
    def step(p, g, lr, state):
        if "opt" not in state:
            state["p"] = torch.nn.Parameter(p.clone())
            state["opt"] = make([state["p"]])
        state["opt"].param_groups[0]["lr"] = lr
        state["p"].grad = g
        state["opt"].step()
        return state["p"].detach().clone()
    return step


def optimizers():
    for name, kw in (("sgd", {}), ("sgd_wd", dict(weight_decay=0.01)), ("sgd_momentum", dict(momentum=0.9)),
                     ("sgd_momentum_wd", dict(momentum=0.9, weight_decay=0.01)),
                     ("sgd_nesterov_wd", dict(momentum=0.9, nesterov=True, weight_decay=0.01))):
        attrs = dict(dict(momentum=0.0, nesterov=False, weight_decay=0.0), **kw)
        optim(name, "sgd", attrs, torch_step(lambda ps: torch.optim.SGD(ps, lr=0.1, **kw)))
    for name, wd in (("adamw", 0.05), ("adamw_nowd", 0.0)):
        optim(name, "adamw", dict(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=wd),
              torch_step(lambda ps: torch.optim.AdamW(ps, lr=0.1, weight_decay=wd)), lrs=(0.01, 0.01, 0.005))
    optim("ema", "ema", dict(decay=0.9), lambda e, p, lr, s: 0.9 * e + 0.1 * p)

    mom, wd, trust, eps = 0.9, 0.01, 0.001, 1e-8

    def ratio(w, g):
        wn, gn = w.norm(), g.norm()
        return trust * wn / (gn + wd * wn + eps) if wn > 0 and gn > 0 else 1.0

    def paper(w, g, lr, state):
        state["v"] = mom * state.get("v", 0) + lr * ratio(w, g) * (g + wd * w)
        return w - state["v"]

    def apex(w, g, lr, state):
        state["b"] = mom * state.get("b", 0) + ratio(w, g) * (g + wd * w)
        return w - lr * state["b"]
    attrs = dict(momentum=mom, weight_decay=wd, trust=trust, eps=eps)
    optim("lars", "lars", attrs, paper, lrs=(10.0, 10.0, 5.0))
    optim("lars_constant_lr", "lars", attrs, apex, lrs=(10.0, 10.0, 10.0))
    optim("lars_zero", "lars", attrs, paper, p=np.zeros((2, 3), np.float32))


def main():
    os.makedirs(OUT, exist_ok=True)
    for part in (convs, norms, pools, unary, binary, losses, shapes, upsample_and_matmul, optimizers):
        part()
    files = glob.glob(os.path.join(OUT, "*.safetensors"))
    size = sum(map(os.path.getsize, files))
    print(f"{len(files)} cases, {size} bytes, torch {torch.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
