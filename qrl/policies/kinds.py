"""Kinds of policies that agents are written against.

All are actors (`qrl.policies.actor.Actor`) with `draw`. Policies of episodes have `episodes`, the distributions at all
steps of recorded episodes; policies of trials have `evaluate`, the same with values, and take transitions as inputs.
"""

from qrl.policies.coherent import CoherentPolicy
from qrl.policies.policy import Policy
from qrl.policies.recurrent import RecurrentPolicy

EpisodePolicy = Policy | CoherentPolicy
"""Policy of agents that adapt by gradient steps."""

TrialPolicy = RecurrentPolicy | CoherentPolicy
"""Policy of agents that adapt in context."""
