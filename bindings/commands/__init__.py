"""What the commands of ``gemel`` do; each module imports the engine, so that ``--help`` need not."""
