"""Circuits as scikit-learn estimators."""
