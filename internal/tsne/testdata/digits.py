"""Writes digits.json: scikit-learn's t-SNE of 400 digits, and how well it keeps neighbors.

    python3 digits.py > digits.json

x are the pixels (0 to 15), trust is the trustworthiness of scikit-learn's layouts for
three seeds, pca that of the first two principal components.
"""

import json

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

d = load_digits()
x, y = d.data[:400].clip(0, 15), d.target[:400]
pca = PCA(2, random_state=0).fit_transform(x)
trust = [trustworthiness(x, TSNE(init=i, random_state=s).fit_transform(x), n_neighbors=12) for s, i in ((0, "pca"), (1, "random"), (2, "random"))]
print(json.dumps(dict(x=["".join("%x" % int(v) for v in r) for r in x], labels=y.tolist(), trust=trust, pca=trustworthiness(x, pca, n_neighbors=12))))
