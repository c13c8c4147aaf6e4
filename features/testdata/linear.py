"""Golden of a linear probe by scikit-learn, to features/testdata/linear.json.

Made with scikit-learn 1.x (the version is in the file), numpy; seed 3.
Run: python3 features/testdata/linear.py

x [60 4] and labels of 3 classes that overlap; w and b are those of LogisticRegression
(C=1, multinomial) on columns standardized by StandardScaler, for the columns as they are.
"""

import json
import os

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(3)
y = rng.integers(0, 3, 60)
x = (rng.normal(0, 1, (60, 4)) + rng.normal(0, 1, (3, 4))[y]) * [1, 10, 0.1, 3] + [0, 50, -2, 7]
x = x.astype(np.float32)
scale = StandardScaler().fit(x)
m = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(scale.transform(x), y)
w = m.coef_ / scale.scale_
b = m.intercept_ - w @ scale.mean_
p = m.predict_proba(scale.transform(x))
loss = -np.log(p[np.arange(60), y]).mean()
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "linear.json"), "w") as f:
    json.dump(dict(sklearn=sklearn.__version__, x=x.astype(float).tolist(), labels=y.tolist(), w=w.tolist(), b=b.tolist(), cross_entropy=float(loss)), f)
    f.write("\n")
