"""Circuits on other engines: PennyLane devices, Qiskit, OpenQASM; shots and cost accounting."""
