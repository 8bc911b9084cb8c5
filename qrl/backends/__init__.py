"""Backends for circuits: PennyLane devices, Qiskit, OpenQASM; shots and cost accounting."""
