"""fairlearn's differences between groups and their bootstrap intervals; prints one JSON object with CPU seconds.

usage: fairlearn_gaps.py CASE.npz RESAMPLES     (runs in the environment of the peer)
"""

import json
import sys
import time
import warnings

import numpy as np


def main() -> None:
    warnings.filterwarnings("ignore")
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    case, resamples = np.load(sys.argv[1]), int(sys.argv[2])
    metrics = {
        "selection_rate": selection_rate, "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate, "accuracy": accuracy_score,
    }  # fmt: skip
    given = {"metrics": metrics, "y_true": case["truth"], "y_pred": case["said"], "sensitive_features": case["group"]}
    point = MetricFrame(**given).difference()
    began = time.process_time()
    low, high = MetricFrame(
        **given, n_boot=resamples, ci_quantiles=[0.025, 0.975], random_state=0
    ).difference_ci()  # 95 %
    said = {name: [float(point[name]), float(low[name]), float(high[name])] for name in metrics}
    print(json.dumps({"cpu_s": time.process_time() - began, "differences": said}))


if __name__ == "__main__":
    main()
