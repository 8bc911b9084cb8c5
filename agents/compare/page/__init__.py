"""Page of a comparison: one self-contained HTML file."""
