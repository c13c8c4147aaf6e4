"""Makes ../sklearn.json: what scikit-learn says of small random scores.

Seed 1; written with scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1:
    python3 sklearn_goldens.py > ../sklearn.json
"""

import json

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import (accuracy_score, average_precision_score, confusion_matrix, hamming_loss, log_loss,
                             precision_recall_fscore_support, top_k_accuracy_score)

rng = np.random.default_rng(1)
N, C = 60, 7


def prf(y, p, average):
    a = precision_recall_fscore_support(y, p, average=average, zero_division=0)[:3]
    return [np.asarray(v).tolist() for v in a]


def single():
    labels = rng.integers(0, C - 1, N)  # the last class never occurs but may be predicted
    z = rng.normal(0, 2, (N, C)) + 3 * np.eye(C)[labels] * (rng.random((N, 1)) < 0.6)
    z = z.astype(np.float32)
    z64 = z.astype(np.float64)
    p, said = softmax(z64, axis=1), z.argmax(1)

    def ece(p):
        conf, right = p.max(1), said == labels
        edges = np.linspace(0, 1, 16)
        gaps = []
        total = 0.0
        for lo, hi in zip(edges, edges[1:]):
            m = (conf > lo) & (conf <= hi)
            if m.any():
                gap = abs(right[m].mean() - conf[m].mean())
                gaps.append(gap)
                total += gap * m.mean()
        return total, max(gaps)

    def nll(t):
        return -log_softmax(z64 / t, axis=1)[np.arange(N), labels].mean()

    t = minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x
    e, m = ece(p)
    return dict(
        logits=z.flatten().tolist(), labels=labels.tolist(), classes=C,
        top1=accuracy_score(labels, said), top5=top_k_accuracy_score(labels, z, k=5, labels=range(C)),
        loss=log_loss(labels, p, labels=range(C)),
        confusion=confusion_matrix(labels, said, labels=range(C)).tolist(),
        per_class=[np.asarray(v).tolist() for v in
                   precision_recall_fscore_support(labels, said, labels=range(C), zero_division=0)[:3]],
        macro=prf(labels, said, "macro"), weighted=prf(labels, said, "weighted"),
        brier=((p - np.eye(C)[labels]) ** 2).sum(1).mean(),
        ece=e, mce=m, temperature=t, loss_scaled=nll(t), ece_scaled=ece(softmax(z64 / t, axis=1))[0])


def multi():
    y = (rng.random((N, C)) < 0.3).astype(int)
    y[:, -1] = 0
    z = np.round(rng.normal(0, 1.5, (N, C)) + 2 * y - 1, 1).astype(np.float32)  # rounded, so that there are ties
    z64 = z.astype(np.float64)
    p = expit(z64)
    said = (z64 >= np.log(0.4 / 0.6)).astype(int)
    ap = [average_precision_score(y[:, k], z[:, k]) if y[:, k].any() else 0.0 for k in range(C)]
    return dict(
        logits=z.flatten().tolist(), labels=[np.flatnonzero(r).tolist() for r in y], classes=C, threshold=0.4,
        ap=ap, map=float(np.mean(ap[:-1])), micro=prf(y, said, "micro"), macro=prf(y, said, "macro"),
        exact=accuracy_score(y, said), hamming=hamming_loss(y, said),
        loss=-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


print(json.dumps(dict(single=single(), multi=multi())))
