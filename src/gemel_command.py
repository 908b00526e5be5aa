"""The entry point of the command ``gemel``, outside the package so that nothing is loaded before it runs."""

import signal


def main() -> None:
    """Load and run the command line; an interrupt while it loads ends the process without a traceback."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gemel.bindings.cli import main as run

    if usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
