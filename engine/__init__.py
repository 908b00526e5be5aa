"""Elements, spaces, forms, physics, twins, calibration and results."""
