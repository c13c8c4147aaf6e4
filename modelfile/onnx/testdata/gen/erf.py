"""Fits the polynomial P of erf(x) = tanh(x * P(x*x)) used by op_elementwise.go.

numpy 1.24, mpmath-free: erf and erfc by math. Deterministic; prints the
coefficients, lowest power first, and the largest error in float32 arithmetic.
"""
import math
import numpy as np

LIMIT = 4.0
DEGREE = 10

x = (1 - np.cos(np.pi * (np.arange(20001) + 0.5) / 20001)) / 2 * LIMIT
x = x[x > 1e-4]
erf = np.array([math.erf(v) for v in x])
erfc = np.array([math.erfc(v) for v in x])
target = 0.5 * np.log((1 + erf) / erfc) / x  # atanh(erf(x)) / x
# d tanh(u) = (1 - tanh²) du with u = x*P; relative to erf near 0.
weight = (1 - erf**2) * x / erf
weight = np.maximum(weight, 1e-9)
u = x * x
basis = np.polynomial.chebyshev.chebvander(2 * u / LIMIT**2 - 1, DEGREE)
w = weight.copy()
for _ in range(200):  # Lawson: toward the smallest maximum
    c, *_ = np.linalg.lstsq(basis * w[:, None], target * w, rcond=None)
    r = np.abs((basis @ c - target) * weight)
    w = w * np.sqrt(0.5 + r / r.max())
    w /= w.max()
t = np.polynomial.chebyshev.Chebyshev(c, domain=[0, LIMIT**2]).convert(
    kind=np.polynomial.Polynomial).coef.astype(np.float32)

f = np.float32
z = np.linspace(-5, 5, 2000001).astype(f)
v = np.clip(z, f(-LIMIT), f(LIMIT))
s = (v * v).astype(f)
p = np.full_like(s, t[-1])
for k in t[-2::-1]:
    p = (p * s).astype(f) + k
y = np.tanh((v * p).astype(f))
true = np.array([math.erf(v) for v in z])
print(", ".join(repr(float(k)) for k in t))
print("largest error", np.abs(y - true).max(), "relative below 1:", (np.abs(y - true) / np.maximum(np.abs(true), 1e-30))[(np.abs(z) < 1) & (z != 0)].max())
