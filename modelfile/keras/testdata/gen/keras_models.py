"""Makes the Keras files, and what Keras computes with them, for the tests of package keras.

Usage: KERAS_BACKEND=jax python keras_models.py DIR       small models (DIR is modelfile/keras/testdata)
       KERAS_BACKEND=jax python keras_models.py DIR big   keras.applications' ResNet50, ResNet50V2 (not committed)
       KERAS_BACKEND=jax python keras_models.py DIR run FILE...
           loads files that we wrote, runs them on DIR/x.safetensors and writes FILE.out.safetensors

Made with Keras 3.15.1, JAX 0.10.2, h5py 3.16.0, numpy 2.4.6; seed 1.
"""

import gzip
import json
import os
import sys

import h5py
import keras
import numpy as np
from keras import layers as L

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "..", "internal", "golden"))
import golden

rng = np.random.default_rng(1)


def randomize(model):
    """Random weights with batch-norm statistics far from 0 and 1."""
    for w in model.weights:
        s = tuple(w.shape)
        name = w.path.split("/")[-1]
        if name == "count":
            continue
        if "variance" in name or name == "gamma":
            v = rng.uniform(0.5, 1.5, s)
        elif len(s) >= 2:
            fan = np.prod(s[:-1])
            v = rng.normal(0, np.sqrt(2 / fan), s)
        else:
            v = rng.normal(0, 0.1, s)
        w.assign(v.astype(np.float32))
    for l in model.layers:
        if isinstance(l, L.Normalization):
            l.finalize_state()


def every_layer():
    i = keras.Input((13, 12, 3), name="picture")
    x = L.Rescaling(1 / 127.5, offset=-1.0)(i)
    x = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5])(x)
    x = L.Normalization(name="learned")(x)
    x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = L.BatchNormalization(epsilon=1e-3, scale=False)(x)
    x = L.LeakyReLU(negative_slope=0.1)(x)
    a = L.DepthwiseConv2D((3, 2), depth_multiplier=2, padding="same", activation="relu6")(x)
    a = L.Conv2D(8, 1, groups=4, activation="swish")(a)
    b = L.ZeroPadding2D(((1, 2), (0, 3)))(x)
    b = L.Conv2D(8, (4, 4), dilation_rate=1, activation="gelu")(b)
    x = L.Add()([x, a, b])
    x = L.ReLU(max_value=6.0)(x)
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    s = L.Dense(8, activation="sigmoid")(s)
    x = L.Multiply()([x, s])
    p = L.MaxPooling2D(3, strides=2, padding="same")(x)
    q = L.AveragePooling2D(3, strides=2, padding="same")(x)
    x = L.Concatenate()([p, q])
    x = L.Dropout(0.1)(x)
    x = L.UpSampling2D(2)(x)
    x = L.Cropping2D(((1, 0), (0, 2)))(x)
    x = L.Permute((2, 1, 3))(x)
    m = L.GlobalMaxPooling2D()(x)
    x = L.ZeroPadding2D(1)(x)
    x = L.MaxPooling2D((2, 3))(x)
    x = L.Reshape((-1, 4, 12))(x)
    x = L.Activation("hard_sigmoid")(x)
    x = L.Flatten()(x)
    x = L.Concatenate()([x, m])
    x = L.Dense(10, activation="tanh")(x)
    x = L.BatchNormalization(center=False)(x)
    x = L.Dense(5)(x)
    return keras.Model(i, L.Softmax()(x), name="every_layer")


def residual():
    i = keras.Input((17, 17, 3))
    x = L.ZeroPadding2D(3, name="conv1_pad")(i)
    x = L.Conv2D(8, 7, strides=2, name="conv1_conv")(x)
    x = L.BatchNormalization(epsilon=1.001e-5, name="conv1_bn")(x)
    x = L.Activation("relu")(x)
    x = L.ZeroPadding2D(1)(x)
    x = L.MaxPooling2D(3, strides=2)(x)
    for k, stride in enumerate([1, 2]):
        s = L.Conv2D(16, 1, strides=stride)(x)
        s = L.BatchNormalization(epsilon=1.001e-5)(s)
        y = L.Conv2D(8, 1, strides=stride)(x)
        y = L.BatchNormalization(epsilon=1.001e-5)(y)
        y = L.Activation("relu")(y)
        y = L.Conv2D(16, 3, padding="same")(y)
        y = L.BatchNormalization(epsilon=1.001e-5)(y)
        x = L.Activation("relu")(L.Add()([s, y]))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(i, L.Dense(7, activation="softmax", name="predictions")(x), name="residual")


def nested():
    i = keras.Input((9, 9, 3))
    x = L.Conv2D(4, 3, name="inner_conv")(i)
    x = L.BatchNormalization(name="inner_bn")(x)
    inner = keras.Model(i, L.ReLU()(x), name="backbone")
    inner.trainable = False
    return keras.Sequential(
        [keras.Input((9, 9, 3)), inner, L.DepthwiseConv2D(3, padding="same", strides=2), L.Flatten(), L.Dense(1, activation="sigmoid")],
        name="nested",
    )


def shared():
    i = keras.Input((8, 8, 2))
    c = L.Conv2D(2, 3, padding="same", activation="relu")
    a, r = L.Add(), L.Activation("relu")
    x = c(i)
    x = a([c(x), i])
    y = a([r(x), c(x)])
    return keras.Model(i, L.Dense(3)(L.Flatten()(r(y))), name="shared")


def keras2(path, out):
    """Writes a whole-model .h5 as Keras 2 does, of one that Keras 3 wrote."""
    with h5py.File(path) as f, h5py.File(out, "w") as g:
        config = json.loads(f.attrs["model_config"])
        config["class_name"] = "Model"
        c = config["config"]
        for l in c["layers"]:
            k = l["config"]
            k["dtype"] = "float32"
            if "batch_shape" in k:
                k["batch_input_shape"] = k.pop("batch_shape")
            if l["class_name"] == "BatchNormalization":
                k["axis"] = [3]
            nodes = []
            for n in l["inbound_nodes"]:
                args = n["args"][0]
                args = args if isinstance(args, list) else [args]
                nodes.append([a["config"]["keras_history"] + [{}] for a in args])
            l["inbound_nodes"] = nodes
            for key in ["module", "registered_name", "build_config"]:
                l.pop(key, None)
        c["input_layers"] = [c["input_layers"]]
        c["output_layers"] = [c["output_layers"]]
        g.attrs["model_config"] = json.dumps(config).encode()
        g.attrs["keras_version"] = b"2.15.0"
        g.attrs["backend"] = b"tensorflow"
        w = g.create_group("model_weights")
        w.attrs["keras_version"] = b"2.15.0"
        # Lists of names in several attributes, as Keras cuts long ones.
        names = [n.encode() for n in f["model_weights"].attrs["layer_names"]]
        w.attrs["layer_names0"], w.attrs["layer_names1"] = names[:5], names[5:]
        for name in f["model_weights"]:
            old = f["model_weights"][name]
            new = w.create_group(name)
            weights = list(old.attrs["weight_names"])
            new.attrs["weight_names"] = [(n + ":0").encode() for n in weights]
            for n in weights:
                new[n + ":0"] = old[n][()]


def logits(model, x):
    """The model's output, and what its last activation gets."""
    y = np.asarray(model(x, training=False))
    last = model.layers[-1]
    if getattr(last, "activation", None) in (keras.activations.softmax, keras.activations.sigmoid):
        last.activation = keras.activations.linear
        z = np.asarray(model(x, training=False))
    elif isinstance(last, L.Softmax):
        z = np.asarray(keras.Model(model.inputs, last.input)(x, training=False))
    else:
        z = y
    return y, z


def save(dir, model, x, formats):
    randomize(model)
    base = os.path.join(dir, model.name)
    for f in formats:
        (model.save_weights if f == ".weights.h5" else model.save)(base + f)
    y, z = logits(model, x)
    golden.write(base + ".safetensors", {"x": x.transpose(0, 3, 1, 2), "y": y, "z": z}, {"keras": keras.__version__})


def main():
    dir = sys.argv[1]
    mode = sys.argv[2] if len(sys.argv) > 2 else "small"
    if mode == "small":
        x = rng.uniform(0, 255, (2, 13, 12, 3)).astype(np.float32)
        save(dir, every_layer(), x, [".keras", ".h5"])
        x = rng.normal(0, 1, (2, 17, 17, 3)).astype(np.float32)
        save(dir, residual(), x, [".keras", ".h5", ".weights.h5"])
        keras2(os.path.join(dir, "residual.h5"), os.path.join(dir, "residual_keras2.h5"))
        save(dir, nested(), rng.normal(0, 1, (2, 9, 9, 3)).astype(np.float32), [".keras", ".h5"])
        save(dir, shared(), rng.normal(0, 1, (2, 8, 8, 2)).astype(np.float32), [".keras"])
        for name in os.listdir(dir):
            path = os.path.join(dir, name)
            if name.endswith((".keras", ".h5")):
                with open(path, "rb") as f, open(path + ".gz", "wb") as out:
                    out.write(gzip.compress(f.read(), mtime=0))
                os.remove(path)
    elif mode == "big":
        x = rng.normal(0, 1, (2, 224, 224, 3)).astype(np.float32)
        for make in [keras.applications.ResNet50, keras.applications.ResNet50V2]:
            save(dir, make(weights=None), x, [".keras", ".h5", ".weights.h5"])
        configs = {}
        for n in ["ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"]:
            keras.backend.clear_session()
            configs[n] = json.loads(getattr(keras.applications, n)(weights=None).to_json())
        with open(os.path.join(dir, "configs.json"), "w") as f:
            json.dump(configs, f)
    else:
        from safetensors.numpy import load_file

        x = load_file(os.path.join(dir, "x.safetensors"))["x"].transpose(0, 2, 3, 1)
        for path in sys.argv[3:]:
            if path.endswith(".weights.h5"):
                with h5py.File(path) as f:
                    model = keras.models.model_from_json(f.attrs["resnet.config"])
                model.load_weights(path)
            else:
                model = keras.models.load_model(path)
                if path.endswith(".h5"):  # by load_weights too
                    again = keras.models.model_from_json(model.to_json())
                    again.load_weights(path)
                    for a, b in zip(model.weights, again.weights):
                        assert np.array_equal(np.asarray(a), np.asarray(b))
            y, z = logits(model, x)
            golden.write(path + ".out.safetensors", {"y": y, "z": z}, {"keras": keras.__version__})


main()
