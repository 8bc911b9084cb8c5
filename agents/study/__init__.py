"""Studies: many runs of one plan, trained by parallel processes into one folder."""
