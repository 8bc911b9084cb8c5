"""The command `select`: an algorithm for a user's own table."""
