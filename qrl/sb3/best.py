"""Callback that keeps the best model of an evaluation in a safe file."""

from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

from qrl.common.errors import UsageError
from qrl.sb3.saving import check_can_be_saved, check_file_name, save


class SaveBest(BaseCallback):
    """Callback for `EvalCallback(callback_on_new_best=SaveBest(path))`: writes the model with `qrl.sb3.save`.

    The file at `path` is replaced atomically by each better model. Raises UsageError for a name that ends in .zip,
    and at the start of training without an `EvalCallback` or for a model that cannot be saved.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        check_file_name(path)
        self.path = Path(path)

    def _init_callback(self) -> None:
        if self.parent is None:
            raise UsageError("sb3: SaveBest is part of EvalCallback(env, callback_on_new_best=SaveBest(path))")
        check_can_be_saved(self.model)

    def _on_step(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save(self.model, self.path)
        return True
