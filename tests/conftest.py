"""What all tests share: one thread a library, and no surprise from the user's environment."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
for _name in [name for name in os.environ if name.startswith("ASSAY_")]:
    del os.environ[_name]
