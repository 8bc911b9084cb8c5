"""Shapes and types are checked at run time in the tests, and nowhere else."""

from jaxtyping import install_import_hook

# Before anything of ours is imported: the hook works on modules as they are imported.
install_import_hook(["qrl", "envs", "agents"], "beartype.beartype")

import torch  # noqa: E402

# One thread: sums are then made in one order, and tests that run side by side do not wait for each other.
torch.set_num_threads(1)
