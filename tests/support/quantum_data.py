"""Family whose episodes succeed or fail, with bounds as on quantum data, and certificates of given counts."""

from types import SimpleNamespace

from agents.experiment.certificate import Certificate, certificate_of
from envs.bandit import Bandit, Config
from envs.core.quantum_data import Ceiling


class Coins(Bandit):
    """Bandit with one pull an episode, with a ceiling and an optimum."""

    def __init__(self, ceiling: float = 0.4, optimum: float = 0.6) -> None:
        super().__init__(Config(arms=2))
        self.classical_ceiling = Ceiling(ceiling, "exact")
        self.quantum_optimum = optimum


def certificate(*n_successes: int, n=20_000, ceiling=2 / 3, optimum=0.75, kind="exact", of_trials=False) -> Certificate:
    """Return the certificate of these numbers of successes at each x, of `n` episodes each."""
    family = SimpleNamespace(classical_ceiling=Ceiling(ceiling, kind), quantum_optimum=optimum)
    return certificate_of(family, n_successes, n, of_trials=of_trials)
