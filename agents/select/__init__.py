"""Command `select`: algorithm selection for a user's dataset."""
