"""Check of a legend against its panel."""

from matplotlib.colors import to_hex


def look(line):
    return to_hex(line.get_color()), line.get_linestyle(), str(line._dash_pattern), line.get_marker(), line.get_alpha()


def check_legend(axes):
    """Assert that each legend entry looks like exactly one line drawn in its panel: the line with its label."""
    legend = axes.get_legend()
    drawn = {line.get_label(): look(line) for line in axes.get_lines() if len(line.get_xdata())}
    entries = {text.get_text(): look(line) for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True)}
    assert len(entries) == len(legend.get_texts()) > 0
    assert len(set(entries.values())) == len(entries), "two entries look the same"
    for label, appearance in entries.items():
        assert drawn[label] == appearance
