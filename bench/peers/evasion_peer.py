"""Evasion attacks of ART and foolbox on one network: prints robust accuracy, rows queried and CPU seconds of each.

How to run: PYTHON_OF_PEERS bench/peers/evasion_peer.py FOLDER EPS STEPS QUERIES   (FOLDER holds weights.pt and rows.npz)
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

SEED = 0


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    folder, eps, steps, queries = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    net = network()
    net.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    net.eval()
    held = np.load(folder / "rows.npz")
    x, y = held["x"].astype("float32"), held["y"].astype("int64")
    rows = {"n": 0}
    net[0].register_forward_pre_hook(lambda module, given: rows.update(n=rows["n"] + len(given[0])))
    found = {}

    def measure(name, attack, count):
        rows["n"] = 0
        torch.manual_seed(SEED)
        np.random.seed(SEED)
        began = time.process_time()
        try:
            changed = np.asarray(attack(x[:count], y[:count])).astype("float32")
        except Exception as error:
            found[name] = {"error": repr(error)[:200]}
            return
        cpu_s, asked = time.process_time() - began, rows["n"]
        with torch.no_grad():
            right = net(torch.as_tensor(changed)).argmax(1).numpy() == y[:count]
        distance = np.abs(changed - x[:count]).reshape(count, -1).max(1)
        found[name] = {
            "robust": float(right.mean()),
            "cpu_s": cpu_s,
            "rows": asked,
            "distance": float(np.median(distance)),
        }

    from art.attacks.evasion import ProjectedGradientDescent, SquareAttack
    from art.estimators.classification import PyTorchClassifier

    model = PyTorchClassifier(net, loss=nn.CrossEntropyLoss(), input_shape=(1, 28, 28), nb_classes=10, clip_values=(0, 1),
                              device_type="cpu")  # fmt: skip
    step = 2.5 * eps / steps
    measure("art_pgd", lambda x, y: ProjectedGradientDescent(
        model, eps=eps, eps_step=step, max_iter=steps, num_random_init=1, batch_size=250, verbose=False).generate(x, y), len(x))  # fmt: skip
    measure("art_square", lambda x, y: SquareAttack(
        model, eps=eps, max_iter=queries, batch_size=250, verbose=False).generate(x, y), len(x))  # fmt: skip
    import foolbox as fb

    boxed = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")

    def with_foolbox(attack, at):
        return lambda x, y: attack(
            boxed, torch.as_tensor(x), fb.criteria.Misclassification(torch.as_tensor(y)), epsilons=at
        )[1].numpy()

    measure("foolbox_pgd", with_foolbox(fb.attacks.LinfPGD(abs_stepsize=step, steps=steps), eps), len(x))
    start = fb.attacks.LinearSearchBlendedUniformNoiseAttack(steps=50)
    measure("foolbox_hopskipjump", with_foolbox(fb.attacks.HopSkipJumpAttack(
        steps=5, max_gradient_eval_steps=1000, initial_gradient_eval_steps=10, constraint="linf", init_attack=start), None), 10)  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
