"""What the firewall catches, what it disturbs, and what it costs, beside LLM Guard 0.3.16.

Cross-source: weights of the light tier are trained here without the files that they are then tested on, and the shipped adapter
of the ML tier never saw them; thresholds come from calibration text alone. The shipped light weights are trained on those files
too, so no figure of the shipped weights on them is printed. BIPIA: windows were chosen on one half of the contexts, figures are
of the other; rows share contexts, so their intervals come from drawing contexts again (bootstrap). All other intervals are
Wilson's, 95 %. Time is CPU time of one thread; peer and Assay take turns. How to run:
    .venv/bin/python bench/firewall.py [--texts DIR] [--data DIR] [--seed N] [--held-out DIR] [--no-peer]
(--texts holds the labelled files, by default shared/data/llm beside the checkout; --held-out weights trained before)
"""

from __future__ import annotations

import sys
from pathlib import Path

from claims import HERE, Claim, Unmeasured, options, scratch, show
from firewall_data import folder_of

sys.path.insert(0, str(HERE.parent))
from firewall_detection import detection
from firewall_speed import size, speed
from firewall_values import credentials, evasions, personal


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--texts", type=Path, help="folder with the labelled texts")
    parser.add_argument("--held-out", type=Path, help="folder with weights that were trained without the tested files")
    parser.add_argument("--no-peer", action="store_true", help="leave LLM Guard out")
    asked = parser.parse_args()
    claims: list[Claim] = []
    notes: list[str] = []
    with scratch(asked.data) as work:
        for part in (
            lambda: speed(asked.texts, asked.seed, asked.no_peer),
            lambda: personal(asked.texts, asked.seed),
            lambda: credentials(asked.seed),
            lambda: evasions(asked.seed),
            lambda: detection(folder_of(asked.texts), asked.held_out or work, asked.seed, asked.held_out is None),
            size,
        ):
            try:
                said, told = part()
            except Unmeasured as error:
                said, told = [], [f"not measured: {error}"]
            claims += said
            notes += told
    show(claims, notes)
    return 0 if all(claim.met for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
