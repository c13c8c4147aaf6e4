"""Calls the server by NVIDIA's unchanged client (tritonclient 2.73.0, ml_dtypes), over HTTP and gRPC.

    python triton_client.py HOST:PORT PICTURE OIP_PROTO
"""

import re
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.grpc import model_config_pb2, service_pb2

url, picture, proto = sys.argv[1:]
file = open(picture, "rb").read()


def expect(what, got, want):
    if got != want:
        raise SystemExit(f"{what}: {got!r}, must be {want!r}")


def field(answer, name):
    return answer[name] if isinstance(answer, dict) else getattr(answer, name)


def same_messages():
    """Our messages have no field that NVIDIA's have otherwise."""
    scope, compared = [], 0
    for line in open(proto):
        line = line.split("//")[0].strip()
        if m := re.match(r"(message|oneof|enum) (\w+) \{(\})?", line):
            if not m[3]:
                scope.append((m[1], m[2]))
        elif line == "}":
            scope.pop()
        elif scope and (m := re.match(r"(?:repeated |optional )?([\w<>, .]+?) (\w+) = (\d+);", line)):
            path = [n for kind, n in scope if kind == "message"]
            if path[0].startswith("HealthCheck"):
                continue
            types = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}
            d = types[path[0]]
            for n in path[1:]:
                d = d.nested_types_by_name[n]
            f = d.fields_by_name[m[2]]
            expect(f"{'.'.join(path)}.{m[2]}", int(m[3]), f.number)
            kinds = {"bool": 8, "string": 9, "int64": 3, "uint64": 4, "int32": 5, "uint32": 13, "float": 2, "double": 1, "bytes": 12}
            if m[1] in kinds:
                expect(f"type of {'.'.join(path)}.{m[2]}", kinds[m[1]], f.type)
            compared += 1
    if compared < 80:
        raise SystemExit(f"only {compared} fields were compared")
    print(compared, "fields are NVIDIA's")


def main():
    same_messages()
    answers = {}
    for lib in (http, grpc):
        c = lib.InferenceServerClient(url)
        name = "clothes"
        expect("live", c.is_server_live(), True)
        expect("ready", c.is_server_ready(), True)
        expect("model ready", c.is_model_ready(name), True)
        expect("model ready", c.is_model_ready(name, "1"), True)
        expect("name", field(c.get_server_metadata(), "name"), "resnet")
        meta = c.get_model_metadata(name)
        expect("inputs", [field(i, "name") for i in field(meta, "inputs")], ["image", "input"])
        config = c.get_model_config(name)
        config = field(config, "config") if lib is grpc else config
        expect("batch", field(config, "max_batch_size"), 8)

        image = lib.InferInput("image", [2, 1], "BYTES")
        image.set_data_from_numpy(np.array([[file], [file]], dtype=object))
        r = c.infer(name, [image], request_id="7")
        p = r.as_numpy("probabilities")
        expect("shape", p.shape, (2, 10))
        if abs(p.sum() - 2) > 1e-5:
            raise SystemExit("the probabilities do not sum to 1")
        expect("id", field(r.get_response(), "id"), "7")
        x = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype(np.float32)
        tensor = lib.InferInput("input", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        outputs = [lib.InferRequestedOutput("logits"), lib.InferRequestedOutput("probabilities", class_count=3)]
        r = c.infer(name, [tensor], outputs=outputs)
        z, top = r.as_numpy("logits"), r.as_numpy("probabilities")
        expect("classes", top.shape, (3, 3))
        for row, classes in zip(z, top):
            expect("most probable", int(classes[0].decode().split(":")[1]), int(row.argmax()))
        answers[lib] = np.concatenate([p.ravel(), z.ravel()])
        if lib is http:  # all forms of the same request
            text = lib.InferInput("input", list(x.shape), "FP32")
            text.set_data_from_numpy(x, binary_data=False)
            plain = [lib.InferRequestedOutput("logits", binary_data=False)]
            for option in ({}, {"request_compression_algorithm": "gzip"}, {"request_compression_algorithm": "deflate"},
                           {"response_compression_algorithm": "gzip"}, {"response_compression_algorithm": "deflate"}):
                for i in (text, tensor):
                    for o in (plain, [lib.InferRequestedOutput("logits")]):
                        if np.abs(c.infer(name, [i], outputs=o, **option).as_numpy("logits") - z).max() > 1e-5:
                            raise SystemExit(f"other logits with {option}")
        else:
            if np.abs(c.infer(name, [tensor], compression_algorithm="gzip").as_numpy("logits") - z).max() > 1e-5:
                raise SystemExit("other logits with gzip")
            got = []
            c.start_stream(lambda result, error: got.append((result, error)))
            for i in range(3):
                c.async_stream_infer(name, [tensor], request_id=str(i))
            c.stop_stream()
            expect("stream", [(r.get_response().id, e) for r, e in got], [("0", None), ("1", None), ("2", None)])
        for kind, dtype in (("FP16", np.float16), ("BF16", ml_dtypes.bfloat16)):
            half = lib.InferInput("input", list(x.shape), kind)
            half.set_data_from_numpy(x.astype(dtype))
            if np.abs(c.infer(name, [half]).as_numpy("logits") - z).max() > 0.2:
                raise SystemExit(f"other logits with {kind}")

        one = lib.InferInput("image", [1], "BYTES")
        one.set_data_from_numpy(np.array([file], dtype=object))
        r = c.infer("finder", [one])
        n = len(r.as_numpy("scores"))
        expect("boxes", r.as_numpy("boxes").shape, (n, 4))
        expect("classes", r.as_numpy("classes").shape, (n,))
        expect("mask", c.infer("cutter", [one]).as_numpy("mask").shape, (1, 30, 40))

        stats = field(c.get_inference_statistics(name), "model_stats")[0]
        if not int(field(stats, "inference_count")) >= 5:
            raise SystemExit(f"statistics: {stats}")
        c.unload_model(name)
        expect("ready after unload", c.is_model_ready(name), False)
        index = c.get_model_repository_index()
        states = {field(m, "name"): field(m, "state") for m in (index if lib is http else index.models)}
        expect("states", states, {"clothes": "UNAVAILABLE", "finder": "READY", "cutter": "READY"})
        for bad, status in (("none", "404"), (name, "503")):
            try:
                c.infer(bad, [image])
                raise SystemExit(f"{bad} is no error")
            except (http.InferenceServerException, grpc.InferenceServerException) as e:
                want = status if lib is http else {"404": "StatusCode.NOT_FOUND", "503": "StatusCode.UNAVAILABLE"}[status]
                expect(f"status of {bad}", e.status(), want)
        c.load_model(name)
        expect("ready after load", c.is_model_ready(name), True)
        c.close()
    if np.abs(answers[http] - answers[grpc]).max() > 1e-5:
        raise SystemExit("HTTP and gRPC answer differently")
    print("all right")


main()
