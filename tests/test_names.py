"""What is said where a name is not known."""

from gemel.names import listed, nearest


def test_the_nearest_name_is_the_one_with_a_slip():
    assert nearest("conductvity", ["conductivity", "capacity"]) == "conductivity"
    assert nearest("TT", ["t", "T"]) == "T"
    assert nearest("kelvin", ["K", "Kelvin"]) == "Kelvin"
    assert nearest("T1", ["T2", "T3"]) is None
    assert nearest("x", []) is None


def test_what_there_is_is_listed_with_the_nearest_at_the_end():
    assert listed("hh", ["h", "k"]) == "h, k. Did you mean 'h'?"
    assert listed("rho", ["h", "k"]) == "h, k."
    assert listed("rho", [], "none at all") == "none at all."
    assert listed("p9", [f"pixel.{i}" for i in range(50)], most=3) == "pixel.0, pixel.1, pixel.2 and 47 more."
