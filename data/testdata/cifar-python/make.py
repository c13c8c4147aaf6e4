"""Makes the small files in this folder: CIFAR's Python versions, as Python 2 wrote the
published ones (texts and arrays as byte strings) and as Python 3 writes them again.
Ran with Python 3.11 and numpy 2.4: python3 make.py
"""
import io, os, pickle, numpy as np

class Python2(pickle._Pickler):
    """Writes protocol 2 with Python 2's byte strings."""
    dispatch = dict(pickle._Pickler.dispatch)
    def string(self, b):
        self.write(b"U" + bytes([len(b)]) + b if len(b) < 256 else b"T" + len(b).to_bytes(4, "little") + b)
        self.memoize(b)
    def save_str(self, s):
        self.string(s.encode("latin1"))
    dispatch[str] = save_str
    def save_bytes(self, b):
        self.string(b)
    dispatch[bytes] = save_bytes

def python2(x):
    f = io.BytesIO()
    Python2(f, 2).dump(x)
    return f.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")

def python3(x):
    return pickle.dumps({k.encode(): v for k, v in x.items()}, 4)

rng = np.random.default_rng(1)
here = os.path.dirname(os.path.abspath(__file__))
for name, dump in (("python2", python2), ("python3", python3)):
    ten = os.path.join(here, name, "cifar-10-batches-py")
    os.makedirs(ten, exist_ok=True)
    def pictures(n, k):
        return (np.arange(n * 3072).reshape(n, 3072) * k % 251).astype(np.uint8)
    files = {
        "data_batch_1": {"batch_label": "training batch 1 of 5", "labels": [6, 9], "data": pictures(2, 3), "filenames": ["a.png", "b.png"]},
        "test_batch": {"batch_label": "testing batch 1 of 1", "labels": [3], "data": pictures(1, 7), "filenames": ["c.png"]},
        "batches.meta": {"num_cases_per_batch": 10000, "num_vis": 3072, "label_names":
            ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry"]},
    }
    for file, x in files.items():
        open(os.path.join(ten, file), "wb").write(dump(x))
hundred = os.path.join(here, "cifar-100-python")
os.makedirs(hundred, exist_ok=True)
for file, x in {
    "train": {"filenames": ["a.png"], "fine_labels": [99], "coarse_labels": [13], "batch_label": "x", "data": pictures(1, 5)},
    "meta": {"fine_label_names": ["fine %d" % i for i in range(100)], "coarse_label_names": ["coarse %d" % i for i in range(20)]},
}.items():
    open(os.path.join(hundred, file), "wb").write(python2(x))
