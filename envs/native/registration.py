"""Registration of the native families with Gymnasium: `gymnasium.make("qrl/CartPole-v0", task={"gravity": 12})`."""

from gymnasium.envs.registration import register, registry

from envs.native.ids import ids


def register_all() -> None:
    """Register every native family for `gymnasium.make` and `gymnasium.make_vec`."""
    for name, id in ids().items():
        if id not in registry:
            module = "envs.native.entry_points"
            register(id, f"{module}:make", kwargs={"family": name}, vector_entry_point=f"{module}:make_vec")
