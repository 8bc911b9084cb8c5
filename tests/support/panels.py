"""Check of the panels of a picture of the benchmarks."""

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from agents.experiment.style import REFERENCE_COLOUR
from qrl.common.pictures import PALETTE
from tests.agents.legends import check_legend


def check_panels(figure: Figure) -> set[str]:
    """Assert that legends match their panels and ticks are integers; return the labels of the horizontal axes."""
    figure.canvas.draw()
    places = [axes for axes in figure.axes if axes.get_visible()]
    for axes in places:
        colours = {to_hex(line.get_color()) for line in axes.get_lines() if len(line.get_xdata())}
        assert colours <= {to_hex(each) for each in (*PALETTE, REFERENCE_COLOUR)}
        assert {to_hex(line.get_color()) for line in axes.get_legend().get_lines()} <= colours
        check_legend(axes)
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert axes.get_xlabel() and all(tick == round(tick) for tick in ticks)
        assert axes.get_ylabel() or axes is not places[0]
    return {axes.get_xlabel() for axes in places}
