"""Policies on registers with any model, and exact probabilities of what they do in an episode, by enumeration."""

import gymnasium
import torch

from qrl.circuits.registers import Registers
from qrl.models import MODELS
from qrl.policies.coherent import make_coherent_policy
from qrl.simulator.kernels import as_parts
from tests.support.double_precision import normal, seeded

PAIR, PRODUCT = Registers(1, 2, entangled=True), Registers(1, 2, entangled=False)


def policy_of(model, registers=PAIR, seed=0, *, episodes=1, **options):
    config, steps = MODELS.load(model).Config(**options), episodes * registers.n_registers
    actions, generator = gymnasium.spaces.Discrete(2), seeded(seed)
    return make_coherent_policy(model, config, registers, actions, trial_steps=steps, generator=generator).double()


def haar(registers, lanes, seed=0):
    """Amplitudes of each delivery [lane, delivery, amplitude]."""
    n = 1 if registers.entangled else registers.n_registers
    parts = normal(lanes, n, 2 * registers.n_amplitudes, seed=seed).unflatten(-1, (-1, 2))
    state = torch.view_as_complex(parts)
    return state / state.norm(dim=-1, keepdim=True)


def observations(registers, states):
    """Observations of an episode [time, lane, obs]."""
    rows = torch.zeros(registers.n_registers, len(states), *registers.shape, dtype=torch.float64)
    for step, row in enumerate(rows):
        row[:, registers.arriving.start + step] = 1
        if step < states.shape[1]:
            row[:, registers.amplitudes] = as_parts(states[:, step])
    return rows


def trial(policy, lanes=6, episodes=2, seed=0, rewarded=True):
    """Inputs and recorded actions of trials as acted by the policy, with random rewards or none [time, lane, ...]."""
    episode = observations(policy.registers, haar(policy.registers, lanes, seed))
    observed, generator = episode.repeat(episodes, 1, 1), seeded(seed)
    memory, transition = torch.zeros(lanes, policy.n_memory).double(), policy.initial_transition_input(lanes)
    inputs, actions = [], []
    for t, row in enumerate(observed):
        inputs.append(policy.inputs(row, transition))
        uniform = torch.rand(lanes, policy.n_noise, generator=generator, dtype=torch.float64)
        action, memory = policy.draw(policy.bind(), inputs[-1], memory, uniform)
        reward, ended = rewarded * normal(lanes, seed=t), torch.full((lanes,), t % len(episode) == len(episode) - 1)
        actions.append(action)
        transition = policy.transition_input(row, action, reward, ended)
    return torch.stack(inputs), torch.stack(actions)


def histories(policy, states):
    """Probability of every (outcome, outcome, answer) in an episode of states [lane, delivery, amplitude], by lane."""
    cell, bound, observed = policy.cell, policy.cell.bind(), observations(policy.registers, states)
    found, n_parts = {}, policy.registers.arriving.start

    def descend(step, past, probability, memory, transition):
        inputs = policy.inputs(observed[step], transition)
        evolved = cell.evolve(bound, step, inputs[:, :n_parts], inputs[:, n_parts:], memory)
        for outcome in range(evolved.weights.shape[-1]):
            here = probability * (evolved.weights[:, outcome] / evolved.weights.sum(-1)).nan_to_num(
                0
            )  # 0 / 0: impossible
            record = torch.full((len(states),), outcome)
            if step == len(observed) - 1:
                answers = cell.logits(bound, step, record, evolved.hidden).softmax(-1)
                found.update({(*past, outcome, answer): here * answers[:, answer] for answer in range(2)})
                continue
            action = torch.stack([torch.zeros_like(record), record, torch.zeros_like(record)], dim=-1)
            nothing = torch.zeros(len(states)).double()
            after = policy.transition_input(observed[step], action, nothing, nothing.bool())
            descend(step + 1, (*past, outcome), here, cell.after(evolved, step, record, record * 0), after)

    lanes = len(states)
    empty = torch.zeros(lanes, policy.n_memory).double()
    descend(0, (), torch.ones(lanes).double(), empty, policy.initial_transition_input(lanes))
    return {past: probability.detach() for past, probability in found.items()}
