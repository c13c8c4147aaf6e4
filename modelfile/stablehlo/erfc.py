# Fits the polynomial of gelu.go: erfc(a) = exp(-a*a) * t * P(t), t = 1/(1+0.4*a), for
# a >= 0, with the smallest largest relative error (Lawson's algorithm).
import numpy as np
from scipy.special import erfcx

K, DEGREE, N = 0.4, 8, 4000
t = 0.5 - 0.5 * np.cos((np.arange(N) + 0.5) * np.pi / N)
f = erfcx((1 / t - 1) / K) / t
powers, weight = np.vander(t, DEGREE + 1, increasing=True), 1 / f
for _ in range(60):
    c, *_ = np.linalg.lstsq(powers * weight[:, None], f * weight, rcond=None)
    error = np.abs(powers @ c / f - 1)
    weight *= np.sqrt(error / error.max() + 1e-3)
    weight /= weight.mean()
print("largest relative error %.2g" % error.max())
print(", ".join("%.9g" % x for x in c))
