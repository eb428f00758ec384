#!/usr/bin/env bash
# skops 0.13.0 with scikit-learn 1.7.2: estimators of scikit-learn that skops has written it does not read again.
#
# Expected: `skops.io.loads` trusts what scikit-learn itself consists of, so that a fitted public estimator comes back without
# a list of types; foreign code is what has to be named.
# Seen: it depends on the estimator. A random forest, PCA and SVC come back; gradient boosting by histograms and a multi-layer
# perceptron are refused for private classes of scikit-learn, one of which goes by a module that is not even in the package
# (`_loss`). What is read back then has to be listed by hand, and the list changes with the estimator and its loss.
#
# Output seen:
#   RandomForestClassifier: read
#   Pipeline (PCA, SVC): read
#   HistGradientBoostingClassifier: refused, 6 types of scikit-learn, among them _loss.CyHalfMultinomialLoss
#   MLPClassifier: refused, 1 types of scikit-learn, among them sklearn.neural_network._stochastic_optimizers.AdamOptimizer
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check skops==0.13.0 scikit-learn==1.7.2
cd "$folder"

"$folder/venv/bin/python" -W ignore - >seen <<'END'
import numpy as np
from skops import io
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

x = np.random.default_rng(0).normal(size=(200, 4))
y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)  # three classes
models = {
    "RandomForestClassifier": RandomForestClassifier(5),
    "Pipeline (PCA, SVC)": make_pipeline(PCA(2), SVC()),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(max_iter=3),
    "MLPClassifier": MLPClassifier(max_iter=5),
}
for name, model in models.items():
    content = io.dumps(model.fit(x, y))
    try:
        io.loads(content)
        print(f"{name}: read")
    except io.exceptions.UntrustedTypesFoundException:
        types = io.get_untrusted_types(data=content)
        print(f"{name}: refused, {len(types)} types of scikit-learn, among them {types[0]}")
END
cat seen
diff seen - <<'END'
RandomForestClassifier: read
Pipeline (PCA, SVC): read
HistGradientBoostingClassifier: refused, 6 types of scikit-learn, among them _loss.CyHalfMultinomialLoss
MLPClassifier: refused, 1 types of scikit-learn, among them sklearn.neural_network._stochastic_optimizers.AdamOptimizer
END
