"""ART's black-box membership attacks on a network of one hidden layer; prints one JSON object: kind to TPR at 1 % FPR and area.

usage: art_membership.py CASE.npz SEED     (runs in the environment of the peer)
"""

import json
import logging
import sys
import warnings

import numpy as np


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import torch
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import PyTorchClassifier
    from sklearn.metrics import roc_auc_score

    torch.set_num_threads(1)
    case, seed = np.load(sys.argv[1]), int(sys.argv[2])
    weights = [torch.as_tensor(case[f"arr_{place}"]) for place in range(4)]
    hidden, classes, features = len(weights[1]), len(weights[3]), weights[0].shape[1]
    network = torch.nn.Sequential(torch.nn.Linear(features, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, classes))
    network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    x, y, member = case["x"].astype("float32"), case["y"].astype("int64"), case["member"].astype(bool)
    model = PyTorchClassifier(
        network.eval(), loss=torch.nn.CrossEntropyLoss(), input_shape=(features,), nb_classes=classes, device_type="cpu"
    )
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    half, said = rng.random(len(x)) < 0.5, {}
    for kind in ("rf", "gb", "nn"):
        attack = MembershipInferenceBlackBox(model, attack_model_type=kind)
        attack.fit(x[member & half], y[member & half], x[~member & half], y[~member & half])
        score = np.asarray(attack.infer(x[~half], y[~half], probabilities=True)).reshape((~half).sum(), -1)[:, -1]
        inside = member[~half]
        others = np.sort(score[~inside])[::-1]
        found = float((score[inside] > others[int(0.01 * len(others))]).mean())
        said[kind] = {"tpr": found, "auc": float(roc_auc_score(inside, score))}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
