"""The command line: ``gemel simulate | data | calibrate | forecast | design | demo | serve | jobs | verify | version``.

Commands import what they need when they run, so that ``--help`` is quick. A user's mistake is one line on
standard error and exit code 2; a solve that failed is one line and exit code 1.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="gemel",
    help="Calibrated twins of physical devices: simulate them, fit them to data, forecast, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

TwinPath = Annotated[Path, typer.Argument(metavar="TWIN.TOML", help="The twin file.")]
Data = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Measured data instead of those that the twin file names.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Stop at this time, such as 1h.")]
Every = Annotated[str | None, typer.Option(metavar="TIME", help="Read the sensors at this interval, such as 10s.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=QUANTITY", help="Hold an input at a value, such as heater=50%."),
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        "--then", metavar="NAME=QUANTITY", help="From the end of the data to --until, hold an input at a value."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=QUANTITY", help="Give a parameter a value, such as k='45 W/m/K'."),
]
Experiment = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of several, that whose data and own parameters to take."),
]
Belief = Annotated[
    Path | None, typer.Option(metavar="JSON", help="The belief.json of a calibration, for its parameters.")
]


@app.command()
def simulate(
    twin: TwinPath,
    until: Until = None,
    every: Every = None,
    data: Data = None,
    experiment: Experiment = None,
    set_: Set = None,
    input_: Inputs = None,
    then: Then = None,
    belief: Belief = None,
    out: Annotated[
        Path | None, typer.Option(metavar="ZARR", help="Where the run goes; runs/NAME/run.zarr by default.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the readings.")] = None,
) -> None:
    """Run a twin forward, at its prior unless --belief is given, and keep its readings.

    Inputs and times come from the data that the twin file names, unless options say otherwise.
    """
    from gemel.bindings.commands.common import DriveOptions
    from gemel.bindings.commands.simulate import SimulateOptions, run

    drive = DriveOptions(until, every, data, input_ or [], experiment, then or [])
    run(twin, SimulateOptions(drive, set_ or [], belief, out, plot))


@app.command(name="data")
def data_(twin: TwinPath, data: Data = None) -> None:
    """Show what is in measured data: gaps, outliers, stuck sensors, what was left out and why; and check the file.

    All mistakes are listed that can be found without solving or building the model on its mesh.
    """
    from gemel.bindings.commands.data import run

    run(twin, data)


@app.command()
def calibrate(
    twin: TwinPath,
    data: Data = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Fit the samples before this time; judge on the rest.")
    ] = None,
    sensor: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Fit this sensor; repeat for several.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Limit of steps.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where results go; runs/NAME by default.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start anew instead of continuing.")] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="JSON", help="Begin at the belief.json of an earlier fit; the prior stays."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="After the fit, follow the misfit along this parameter; repeat, or 'all'."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=25,
            metavar="N",
            help="After the fit, draw N times from the posterior in each of four chains; begin with 200.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draws; 0 by default.")] = None,
) -> None:
    """Fit a twin's parameters to measured data.

    Every step is on disk before the next begins: killed at any moment, or paused by Ctrl-C, and called again, the fit
    continues, with the options that it was begun with. One that has ended is not fitted again: --profile and --sample
    may be asked for afterwards.
    """
    from gemel.bindings.commands.calibrate import CalibrateOptions, run
    from gemel.bindings.commands.certainty import CertaintyOptions

    certainty = CertaintyOptions(profile or [], sample, seed)
    run(twin, CalibrateOptions(data, until, sensor or [], max_steps, out, restart, from_, certainty))


@app.command()
def forecast(
    twin: TwinPath,
    until: Until = None,
    every: Every = None,
    data: Data = None,
    experiment: Experiment = None,
    set_: Set = None,
    input_: Inputs = None,
    then: Then = None,
    belief: Belief = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where results go; runs/NAME/forecast, or forecast-EXPERIMENT, by default."
        ),
    ] = None,
) -> None:
    """Run a calibrated twin freely, with its credible band.

    The belief is that of the last `gemel calibrate` of the same twin, unless --belief says otherwise. A parameter given
    by --set is known: the others move as the belief says that they hang together with it. With an --until after the
    data the run goes on from them, with the last values of the inputs or what --then says.
    """
    from gemel.bindings.commands.common import DriveOptions
    from gemel.bindings.commands.forecast import ForecastOptions, run

    drive = DriveOptions(until, every, data, input_ or [], experiment, then or [])
    run(twin, ForecastOptions(drive, set_ or [], belief, out))


@app.command()
def design(
    twin: TwinPath,
    about: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The parameter that matters; repeat for several.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="SENSOR", help="Draw what a point sensor like this one tells all over the mesh."),
    ] = None,
    until: Until = None,
    every: Every = None,
    data: Data = None,
    experiment: Experiment = None,
    set_: Set = None,
    input_: Inputs = None,
    belief: Belief = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where results go; runs/NAME/design by default.")
    ] = None,
) -> None:
    """Say what to measure next: which sensor, where, and with more of which input.

    Compares the twin's sensors and those of its tables \\[candidates.NAME], which could be mounted, by what one more
    record would tell beyond the belief of the last `gemel calibrate`. Inputs and times are those of the data, unless
    options say otherwise. A parameter given by --set is known.
    """
    from gemel.bindings.commands.common import DriveOptions
    from gemel.bindings.commands.design import DesignOptions, run

    drive = DriveOptions(until, every, data, input_ or [], experiment)
    run(twin, DesignOptions(drive, set_ or [], belief, about or [], map_ or [], out))


@app.command()
def demo(
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Show this example; repeat for several.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where results go.")] = Path("runs"),
) -> None:
    """Calibrate twins of real devices and show how well they predict."""
    from gemel.bindings.demo import run_demo

    run_demo(out, tuple(only or ()))


@app.command()
def serve(
    store: Annotated[Path, typer.Option(metavar="FOLDER", help="Twins, jobs and runs are kept here.")] = Path("store"),
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="unix:PATH or HOST:PORT; a Unix socket in the store by default."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="The server's certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="The key of the certificate.")] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Demand client certificates that this authority signed."),
    ] = None,
    max_message_mib: Annotated[int, typer.Option(min=1, max=1024, help="Limit of one request, in MiB.")] = 64,
) -> None:
    """Serve twins over gRPC until SIGTERM or Ctrl-C.

    Without a certificate only this machine may call: other addresses are refused.
    """
    from gemel.bindings.commands.serve import ServeOptions, run

    run(ServeOptions(store, listen, tls_cert, tls_key, tls_client_ca, max_message_mib))


jobs = typer.Typer(help="Calibrations on a server: start, watch, pause, resume and cancel them.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="ADDRESS", help="unix:PATH or HOST:PORT; the socket in ./store by default."),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job, as `gemel jobs list` names it.")]


@jobs.command(name="list")
def jobs_list(server: Server = None) -> None:
    """Name the jobs, latest first, their twins, when they were submitted and how far they are."""
    from gemel.bindings.commands.jobs import show_all

    show_all(server)


@jobs.command(name="start")
def jobs_start(
    twin: TwinPath,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Limit of steps.")] = None,
    from_: Annotated[
        int, typer.Option("--from", min=0, metavar="REVISION", help="Begin at this revision of the twin.")
    ] = 0,
    server: Server = None,
) -> None:
    """Register a twin and begin its calibration; prints the job's id."""
    from gemel.bindings.commands.jobs import start

    start(twin, max_steps, from_, server)


@jobs.command(name="watch")
def jobs_watch(job: JobId, server: Server = None) -> None:
    """Tell how far a job is until it has ended."""
    from gemel.bindings.commands.jobs import watch

    watch(job, server)


@jobs.command(name="pause")
def jobs_pause(job: JobId, server: Server = None) -> None:
    """Put a job aside after the step in hand."""
    from gemel.bindings.commands.jobs import change

    change("pause", job, server)


@jobs.command(name="resume")
def jobs_resume(job: JobId, server: Server = None) -> None:
    """Go on with a paused job."""
    from gemel.bindings.commands.jobs import change

    change("resume", job, server)


@jobs.command(name="cancel")
def jobs_cancel(job: JobId, server: Server = None) -> None:
    """End a job for good."""
    from gemel.bindings.commands.jobs import change

    change("cancel", job, server)


@app.command()
def verify(
    case: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Run this case; repeat for several.")] = None,
    group: Annotated[str | None, typer.Option(metavar="GROUP", help="Run the cases of this group.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name the cases and groups; run nothing.")] = False,
    all_: Annotated[bool, typer.Option("--all", "--slow", help="Run the slow cases, too.")] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JSON.")] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run every case and write the manual as Markdown.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Run so many cases at a time.")] = 1,
) -> None:
    """Solve problems with known answers and compare: the verification manual.

    The exit code is 1 where a case fails. Cases that need a program which is not installed are named as not run.
    """
    from gemel.bindings.commands.verify import VerifyOptions, run

    code = run(VerifyOptions(case or [], group, list_, all_, json, write, jobs))
    if code:
        raise typer.Exit(code)


@app.command()
def version() -> None:
    """Print the version."""
    import gemel

    typer.echo(f"gemel {gemel.__version__}")


def main() -> None:
    """The entry point of ``gemel``."""
    try:
        app()
    except ValueError as error:
        _end(error, 2)
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        _end(ValueError(f"{error.strerror or error}{where}"), 2)
    except RuntimeError as error:
        if type(error).__name__ not in ("SolveError", "CalibrationError", "ServiceError"):
            raise
        _end(error, 1)


def _end(error: Exception, code: int) -> None:
    for line in (str(error), *getattr(error, "others", ())):
        sys.stderr.write(f"gemel: {' '.join(line.split())}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
