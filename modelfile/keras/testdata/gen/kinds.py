"""Makes Keras models of the kinds that people have, with Keras' answers.

    python3 kinds.py DIR            the committed ones: testdata/kinds, seed 1 (Keras 3.15.1, TensorFlow)
    python3 kinds.py DIR SEED COUNT random models of the same layers

Each NAME has a NAME.keras.gz and, where marked, a NAME.h5.gz, and a NAME.json: pictures
[N H W C] and the probabilities that Keras computes.
"""
import gzip
import json
import os
import pathlib
import random
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
import numpy as np
import keras
from keras import layers as L
from keras import ops

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
R, P = np.random.RandomState(seed), random.Random(seed)


def save(name, m, size=(12, 12, 3), h5=True, pick=None, raw=False, zipped=True):
    """Gives the weights values, and writes the model and Keras' answer; pick chooses an output."""
    for w in m.weights:
        s = tuple(w.shape)
        if "variance" in w.path or "gamma" in w.path:
            w.assign(R.rand(*s) + 0.5)
        elif "alpha" in w.path:
            w.assign(R.rand(*s) * 0.5)
        elif len(s) and "float" in str(w.dtype):
            w.assign(R.standard_normal(s) / np.sqrt(max(np.prod(s[:-1]), 1)) * (1 if len(s) > 1 else 0.3))
    x = R.rand(2, *size).astype(np.float32)
    x = np.floor(x * 256) if raw else (2 * x - 1).round(2)
    y = m(x, training=False)
    if pick is not None:
        y = y[pick]
    y = np.asarray(keras.ops.convert_to_numpy(y), np.float64)
    for ending in [".keras"] + [".h5"] * h5:
        path = out / (name + ending)
        m.save(path)
        if zipped:
            (out / (name + ending + ".gz")).write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
            path.unlink()
    (out / f"{name}.json").write_text(json.dumps({"shape": list(x.shape), "x": [float(f"{v:.4g}") for v in x.ravel()], "probabilities": y.round(7).tolist()}) + "\n")


def end(x, softmax=True):
    return L.Dense(3, activation="softmax" if softmax else None, name="predictions")(L.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x)


def every():
    i = keras.Input((12, 12, 3))
    x = L.Resizing(7, 6)(L.CenterCrop(10, 8)(i))
    x = L.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, activation="elu")(x)
    x = L.PReLU(shared_axes=[1, 2])(L.GroupNormalization(3)(x))
    x = L.PReLU()(L.LayerNormalization()(x))
    x = L.AveragePooling2D(3, 2, padding="same")(x)
    x = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="selu")(x)
    x = L.Conv2DTranspose(3, 2, strides=3, activation="softsign")(x)
    x = L.AveragePooling2D(5, 4, padding="same")(x)
    x = L.LayerNormalization(axis=[1, 2, 3], center=False)(x)
    a, b = L.Conv2D(3, 3, activation="mish", padding="same")(x), L.ELU(0.7)(x)
    x = L.Average()([a, b, x])
    x = L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)(x)
    x = L.Resizing(9, 9, interpolation="bicubic", crop_to_aspect_ratio=True)(L.Resizing(20, 17, interpolation="nearest")(x))
    x = L.UnitNormalization()(L.Identity()(x))
    save("more-layers", keras.Model(i, end(x)))

    s = keras.Sequential([keras.Input((12, 12, 3)), L.Rescaling(2.0, offset=-1), L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomContrast(0.2), L.RandomBrightness(0.1),
                          L.RandomTranslation(0.1, 0.1), L.GaussianNoise(0.1), L.Conv2D(4, 3), L.SpatialDropout2D(0.2), L.GaussianDropout(0.1), L.AlphaDropout(0.1), L.ActivityRegularization(0.1),
                          L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")])
    save("augmentation", s, h5=False)

    i = keras.Input((12, 12, 3))
    x = i[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    save("caffe", keras.Model(i, end(L.Conv2D(4, 3)(x / 64.0))), raw=True)
    i = keras.Input((12, 12, 3))
    x = L.Conv2D(4, 3)(i / 127.5 - 1.0)
    x = ops.relu(x) + ops.mean(x, axis=[1, 2], keepdims=True) * 0.5
    x = ops.maximum(1.0 - x, ops.sigmoid(x))
    x = ops.concatenate([x[:, 1:-1, ::2, :], ops.square(x)[:, :-2, ::2]], axis=-1)
    x = ops.transpose(ops.reshape(x, (-1, 40, 8)), (0, 2, 1))
    save("operations", keras.Model(i, end(ops.max(x, axis=-1))), raw=True)

    i = keras.Input((12, 12, 3))
    x = L.Conv2D(4, 3)(i)
    f = L.GlobalAveragePooling2D(name="features")(x)
    save("features-first", keras.Model(i, [f, end(f)]), pick=1)
    i = keras.Input((12, 12, 3))
    x = L.Conv2D(4, 3)(i)
    aux = L.Dense(3, activation="softmax", name="aux")(L.GlobalMaxPooling2D()(x))
    save("aux-first", keras.Model(i, {"aux": aux, "main": L.Dense(3, activation="softmax", name="main")(L.GlobalAveragePooling2D()(L.ReLU()(L.Conv2D(5, 3)(x))))}), pick="main", h5=False)
    i = keras.Input((12, 12, 3))
    x = L.Conv2D(3, 3, kernel_initializer=keras.initializers.Constant(float("nan")), kernel_constraint=keras.constraints.MaxNorm(float("inf")))(i)
    save("nan-in-config", keras.Model(i, end(x)))


ACTS = "relu relu6 elu selu gelu silu softplus softsign tanh sigmoid hard_sigmoid hard_silu mish leaky_relu celu hard_tanh squareplus log_sigmoid tanh_shrink exponential".split()


def step(x):
    h, w, c = x.shape[1:]
    same, a = P.choice(["same", "valid"]), P.choice([None] + ACTS)
    k = P.choice("conv conv dw sep tr pool gpool bn ln gn unit act relu prelu elu leaky pad crop up resize center rescale merge concat op drop softmax permute reshape dense".split())
    if k in ("conv", "dw", "sep", "tr", "pool") and min(h, w) < 5:
        same = "same"
    if k == "conv":
        d = P.choice([1, 1, 2]) if min(h, w) > 6 or same == "same" else 1
        return L.Conv2D(P.choice([3, 4, 6]), P.choice([1, 3, (3, 2)]), strides=1 if d > 1 else P.choice([1, 2]), dilation_rate=d, padding=same, activation=a, use_bias=P.random() < .7)(x)
    if k == "dw":
        return L.DepthwiseConv2D(3, strides=P.choice([1, 2]), padding=same, depth_multiplier=P.choice([1, 2]), activation=a)(x)
    if k == "sep":
        return L.SeparableConv2D(P.choice([3, 5]), 3, strides=P.choice([1, 2]), padding=same, depth_multiplier=P.choice([1, 2]), activation=a, use_bias=P.random() < .7)(x)
    if k == "tr" and max(h, w) < 16:
        return L.Conv2DTranspose(P.choice([2, 4]), P.choice([2, 3, 4]), strides=P.choice([1, 2]), padding=same, activation=a)(x)
    if k == "pool":
        return P.choice([L.MaxPooling2D, L.AveragePooling2D])(P.choice([2, 3]), strides=P.choice([1, 2, None]), padding=same)(x)
    if k == "gpool":
        return L.Multiply()([x, P.choice([L.GlobalAveragePooling2D, L.GlobalMaxPooling2D])(keepdims=True)(x)])
    if k == "bn":
        return L.BatchNormalization(center=P.random() < .7, scale=P.random() < .7)(x)
    if k == "ln":
        return L.LayerNormalization(axis=P.choice([-1, [1, 2], [1, 2, 3], -2]), epsilon=.1, center=P.random() < .7, scale=P.random() < .7)(x)
    if k == "gn":
        return L.GroupNormalization(P.choice([1, -1] + [2] * (c % 2 == 0)), epsilon=.1)(x)
    if k == "unit":
        return L.UnitNormalization(axis=P.choice([-1, 1]))(x)
    if k == "act":
        return L.Activation(P.choice(ACTS))(x)
    if k == "relu":
        return L.ReLU(max_value=P.choice([None, 1.0]), negative_slope=P.choice([0, .2]), threshold=P.choice([0, .3]))(x)
    if k == "prelu":
        return L.PReLU(shared_axes=P.choice([None, [1, 2], [3], [1, 2, 3]]))(x)
    if k == "elu":
        return L.ELU(P.choice([1.0, .4]))(x)
    if k == "leaky":
        return L.LeakyReLU(P.choice([.1, .5]))(x)
    if k == "pad":
        return L.ZeroPadding2D(P.choice([1, (1, 2), ((0, 1), (2, 1))]))(x)
    if k == "crop" and min(h, w) > 4:
        return L.Cropping2D(P.choice([1, ((0, 1), (1, 0))]))(x)
    if k == "up" and max(h, w) < 10:
        return L.UpSampling2D(2, interpolation=P.choice(["nearest", "bilinear"]))(x)
    if k == "resize":
        return L.Resizing(P.choice([5, 8, 13]), P.choice([6, 9]), interpolation=P.choice(["bilinear", "nearest", "bicubic"]), crop_to_aspect_ratio=P.random() < .3)(x)
    if k == "center":
        return L.CenterCrop(min(h, 5), min(w, 6))(x)
    if k == "rescale":
        return L.Rescaling(P.choice([.5, 2.0]), offset=P.choice([0, -1.0]))(x)
    if k == "merge":
        return P.choice([L.Add, L.Multiply, L.Maximum, L.Minimum, L.Average, L.Subtract])()([x, L.Activation(P.choice(ACTS))(x)])
    if k == "concat":
        return L.Concatenate(axis=P.choice([-1, 3, 1]))([x, L.Activation(P.choice(ACTS))(x)])
    if k == "op":
        return P.choice([lambda: x * 0.5 + 0.1, lambda: 1.0 - x, lambda: x[..., ::-1], lambda: x[:, 1:, :, :], lambda: ops.relu(x), lambda: ops.maximum(x, -x), lambda: x - ops.mean(x, axis=-1, keepdims=True),
                         lambda: x / np.arange(1, c + 1, dtype="float32"), lambda: ops.clip(x, -1.0, 1.0), lambda: ops.sum(x, axis=(1, 2), keepdims=True) + x, lambda: ops.flip(x, axis=2)])()
    if k == "drop":
        return P.choice([L.Dropout(.2), L.SpatialDropout2D(.2), L.GaussianNoise(.1), L.RandomFlip(), L.Identity()])(x)
    if k == "softmax":
        return L.Softmax()(x)
    if k == "permute":
        return L.Permute(P.choice([(2, 1, 3), (1, 2, 3), (3, 1, 2)]))(x)
    if k == "reshape" and h % 2 == 0:
        return L.Reshape((h // 2, w * 2, c))(x)
    if k == "dense":
        return L.Dense(4, activation=a)(x)
    return x


def randoms(count):
    for n in range(count):
        keras.backend.clear_session()
        i = x = keras.Input((12, 12, 3))
        for _ in range(P.randint(3, 8)):
            y = step(x)
            if np.prod(y.shape[1:]) < 6000:
                x = y
        x = P.choice([L.Flatten(), L.GlobalAveragePooling2D(), L.GlobalMaxPooling2D()])(x)
        save(f"r{seed}-{n:04d}", keras.Model(i, L.Dense(3, activation=P.choice(["softmax", None]), name="predictions")(x)), h5=n % 2 == 0, zipped=False)
    print(count, "models")


if len(sys.argv) > 3:
    randoms(int(sys.argv[3]))
else:
    every()
