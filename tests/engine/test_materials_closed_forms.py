"""Materials against exact solutions of homogeneous states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from scipy.spatial.transform import Rotation

from gemel.engine.materials import (
    Isotropic,
    J2Plasticity,
    MaterialAxes,
    MooneyRivlin,
    NeoHookean,
    Ogden,
    Orthotropic,
    Prony,
    ThermalStrain,
    von_mises,
)
from gemel.engine.materials.matrix_power import matrix_power

E, NU = 200e3, 0.3
MU = E / (2 * (1 + NU))


cauchy = jax.jit(lambda material, deformation: material.cauchy(deformation))


@jax.jit
def follow(material, strains, times):
    """Stress at each strain of a path."""

    def step(carry, item):
        state, last = carry
        strain, time = item
        stress, state = material.update(strain, state, time - last)
        return (state, time), stress

    return jax.lax.scan(step, (material.initial_state(), times[0]), (strains, times))[1]


def uniaxial(material, axial, times=None):
    """Axial stress of a bar with free sides, driven by its axial strain; the lateral strain by Newton's method."""
    stress, side = _uniaxial(material, axial, jnp.zeros(len(axial)) if times is None else times)
    np.testing.assert_allclose(side, 0, atol=1e-9 * float(jnp.max(jnp.abs(stress))))
    return stress


@jax.jit
def _uniaxial(material, axial, times):
    def step(carry, item):
        state, last, lateral = carry
        strain, time = item

        def respond(x):
            return material.update(jnp.diag(jnp.stack([strain, x, x])), state, time - last)

        def improve(_, lateral):
            side, slope = jax.jvp(lambda x: respond(x)[0][1, 1], (lateral,), (jnp.ones(()),))
            return lateral - side / slope

        lateral = jax.lax.fori_loop(0, 12, improve, lateral)
        stress, state = respond(lateral)
        return (state, time, lateral), (stress[0, 0], stress[1, 1])

    return jax.lax.scan(step, (material.initial_state(), times[0], jnp.zeros(())), (axial, times))[1]


# Elasticity


def test_orthotropic_uniaxial_contractions():
    """Tension along each axis gives E and the contractions by definition of the nine constants."""
    material = Orthotropic(140e9, 10e9, 8e9, 0.3, 0.25, 0.4, 5e9, 4e9, 3e9)
    flat = jnp.eye(9).reshape(9, 3, 3)
    stiffness = jax.vmap(lambda e: material.update(0.5 * (e + e.T), None, 0.0)[0])(flat).reshape(9, 9)
    compliance = np.linalg.pinv(np.asarray(stiffness))
    strain = (compliance @ np.diag([1e6, 0, 0]).ravel()).reshape(3, 3)
    np.testing.assert_allclose(np.diag(strain), [1e6 / 140e9, -0.3e6 / 140e9, -0.25e6 / 140e9], rtol=1e-9)
    strain = (compliance @ np.diag([0, 1e6, 0]).ravel()).reshape(3, 3)
    np.testing.assert_allclose(np.diag(strain), [-0.3e6 / 140e9, 1e6 / 10e9, -0.4e6 / 10e9], rtol=1e-9)
    shear = jnp.zeros((3, 3)).at[0, 2].set(0.5e-3).at[2, 0].set(0.5e-3)
    assert float(material.update(shear, None, 0.0)[0][0, 2]) == pytest.approx(4e9 * 1e-3)


def test_off_axis_modulus_of_a_lamina():
    r"""$1/E_x = c^4/E_1 + s^4/E_2 + (1/G_{12} - 2\nu_{12}/E_1) s^2 c^2$ (Jones 1999, eq. 2.97)."""
    angle = 0.5
    constants = (140e9, 10e9, 10e9, 0.3, 0.3, 0.4, 5e9, 5e9, 3.5e9)
    material = Orthotropic(*constants, MaterialAxes(angle=angle))
    basis = jnp.eye(9).reshape(9, 3, 3)
    stiffness = jax.vmap(lambda e: material.update(0.5 * (e + e.T), None, 0.0)[0])(basis).reshape(9, 9)
    compliance = np.linalg.pinv(np.asarray(stiffness))
    c, s = np.cos(angle), np.sin(angle)
    exact = c**4 / 140e9 + s**4 / 10e9 + (1 / 5e9 - 2 * 0.3 / 140e9) * s**2 * c**2
    assert compliance[0, 0] == pytest.approx(exact, rel=1e-9)


def test_axes_turn_components():
    rotation = jnp.asarray(Rotation.from_rotvec([0.3, 0.1, -0.7]).as_matrix())
    axes = MaterialAxes(rotation)
    along_first = jnp.outer(rotation[:, 0], rotation[:, 0])
    np.testing.assert_allclose(axes.to_material(along_first), np.diag([1.0, 0, 0]), atol=1e-14)
    np.testing.assert_allclose(axes.to_global(axes.to_material(along_first)), along_first, atol=1e-14)


def test_free_expansion_has_no_stress_and_clamped_expansion_has():
    heated = ThermalStrain(Isotropic(E, NU), 12e-6, 393.0, 293.0)
    free, _ = heated.update(12e-6 * 100 * jnp.eye(3), None, 0.0)
    np.testing.assert_allclose(free, 0, atol=1e-9 * E)
    clamped, _ = heated.update(jnp.zeros((3, 3)), None, 0.0)
    np.testing.assert_allclose(clamped, -E * 12e-6 * 100 / (1 - 2 * NU) * np.eye(3), rtol=1e-12, atol=1e-9)
    turned = ThermalStrain(Isotropic(E, NU), jnp.array([1e-6, 2e-6, 3e-6]), 393.0, 293.0, MaterialAxes(angle=np.pi / 2))
    np.testing.assert_allclose(jnp.diagonal(turned.thermal_strain()), [2e-4, 1e-4, 3e-4], rtol=1e-12)


def test_von_mises_of_tension_and_shear():
    assert float(von_mises(jnp.diag(jnp.array([3.0, 0.0, 0.0])))) == pytest.approx(3.0)
    shear = jnp.zeros((3, 3)).at[0, 1].set(2.0).at[1, 0].set(2.0)
    assert float(von_mises(shear)) == pytest.approx(2.0 * np.sqrt(3))
    assert float(von_mises(jnp.eye(3))) == pytest.approx(0.0, abs=1e-15)


# Hyperelasticity. At constant volume the difference of principal Cauchy stresses does not depend on the bulk modulus.


def stress_difference(material, stretch):
    side = stretch**-0.5
    stress = cauchy(material, jnp.diag(jnp.array([stretch, side, side])))
    return float(stress[0, 0] - stress[1, 1])


@pytest.mark.parametrize("stretch", [0.5, 0.9, 1.0, 1.5, 4.0])
def test_uniaxial_stretch_of_rubber(stretch):
    squares = stretch**2 - 1 / stretch
    neo = stress_difference(NeoHookean(0.4, 10.0), stretch)
    assert neo == pytest.approx(0.4 * squares, abs=1e-13)
    mooney = stress_difference(MooneyRivlin(0.3, 0.1, 10.0), stretch)
    assert mooney == pytest.approx(2 * squares * (0.3 + 0.1 / stretch), abs=1e-13)


@pytest.mark.parametrize("stretch", [1.0, 1.01, 1.5, 3.0, 7.0])
def test_ogden_with_treloars_rubber(stretch):
    """Ogden's constants for Treloar's data, in kgf/cm² (Ogden 1972, Proc. R. Soc. A 326, p. 582)."""
    moduli, exponents = np.array([6.3, 0.012, -0.1]), np.array([1.3, 5.0, -2.0])
    material = Ogden(moduli.tolist(), exponents.tolist(), 1e4)
    exact = np.sum(moduli * (stretch**exponents - stretch ** (-exponents / 2)))
    assert stress_difference(material, stretch) == pytest.approx(exact, rel=1e-11, abs=1e-11)
    double = cauchy(material, jnp.diag(jnp.array([stretch, stretch, stretch**-2])))
    exact = np.sum(moduli * (stretch**exponents - stretch ** (-2 * exponents)))
    assert float(double[0, 0] - double[2, 2]) == pytest.approx(exact, rel=1e-11, abs=1e-11)


def test_compressible_neo_hookean_bar():
    r"""With free sides: $\mu (b^2 - 1) + \lambda \ln(\ell b^2) = 0$ for the side stretch, $\sigma = \mu (\ell^2 -
    b^2)/(\ell b^2)$."""
    material, stretch = NeoHookean(1.0, 2.0), 1.6
    side = 0.9
    for _ in range(30):
        value = side**2 - 1 + 2 * np.log(stretch * side**2)
        side -= value / (2 * side + 4 / side)
    stress = cauchy(material, jnp.diag(jnp.array([stretch, side, side])))
    np.testing.assert_allclose(stress[1:, 1:], 0, atol=1e-12)
    assert float(stress[0, 0]) == pytest.approx((stretch**2 - side**2) / (stretch * side**2), rel=1e-12)


@pytest.mark.parametrize(
    ("material", "modulus"),
    [
        (NeoHookean(0.4, 10.0), 0.4),
        (MooneyRivlin(0.3, 0.1, 10.0), 0.8),
        (Ogden([0.4, -0.2], [2.0, -2.0], 10.0), 0.6),
    ],
)
def test_simple_shear(material, modulus):
    r"""$\sigma_{12} = \mu\gamma$, and Rivlin's universal relation $\sigma_{11} - \sigma_{22} = \gamma\sigma_{12}$."""
    shear = 0.8
    stress = cauchy(material, jnp.eye(3).at[0, 1].set(shear))
    assert float(stress[0, 1]) == pytest.approx(modulus * shear, rel=1e-12)
    assert float(stress[0, 0] - stress[1, 1]) == pytest.approx(shear * float(stress[0, 1]), rel=1e-12)


def test_volumetric_response():
    """Pressure of a pure change of volume: K (J - 1) with the split."""
    for material in (MooneyRivlin(0.3, 0.1, 50.0), Ogden([0.5], [3.0], 50.0)):
        stress = cauchy(material, 1.1 * jnp.eye(3))
        np.testing.assert_allclose(stress, 50.0 * (1.1**3 - 1) * np.eye(3), rtol=1e-12, atol=1e-12)


def test_ogden_with_squares_is_mooney_rivlin():
    """To the third derivative, at stretches that are repeated, nearly repeated and apart."""
    mooney, ogden = MooneyRivlin(0.3, 0.1, 5.0), Ogden([0.6, -0.2], [2.0, -2.0], 5.0)
    turn = jnp.asarray(Rotation.from_rotvec([0.2, 0.9, 0.1]).as_matrix())
    direction = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, (3, 3)))

    @jax.jit
    def derivatives(material, deformation):
        return jax.jvp(material.tangent, (deformation,), (direction,))

    for stretches in [(1.0, 1.0, 1.0), (1.2, 1.2, 0.9), (1.2, 1.2 + 1e-9, 0.9), (1.2, 1.21, 1.19), (1.6, 1.0, 0.6)]:
        deformation = jnp.diag(jnp.array(stretches)) @ turn
        for found, exact in zip(derivatives(ogden, deformation), derivatives(mooney, deformation), strict=True):
            np.testing.assert_allclose(found, exact, atol=1e-11)


@pytest.mark.parametrize("exponent", [-1.5, -0.5, 0.7, 2.0, 3.3])
def test_matrix_power(exponent):
    rng = np.random.default_rng(1)
    a = rng.uniform(-0.5, 0.5, (3, 3))
    a = a @ a.T + np.eye(3)
    exact = fractional_matrix_power(a, exponent)
    np.testing.assert_allclose(matrix_power(jnp.asarray(a), jnp.asarray(exponent)), exact, rtol=1e-12)
    by_exponent = jax.jit(jax.jacfwd(matrix_power, argnums=1))(2.0 * jnp.eye(3), jnp.asarray(exponent))
    np.testing.assert_allclose(by_exponent, 2.0**exponent * np.log(2.0) * np.eye(3), atol=1e-12)


# Plasticity


def test_uniaxial_isotropic_hardening_reversed():
    """Bilinear hardening: the elastic range grows to twice the reached stress."""
    material = J2Plasticity(E, NU, 250.0, 10e3)
    plastic = 0.01
    top = 250.0 + 10e3 * plastic
    reached = top / E + plastic
    back = reached - 2 * top / E  # yields again here, at -top
    slope = E * 10e3 / (E + 10e3)
    axial = jnp.array([0.5 * 250.0 / E, reached, back, back - 0.002])
    stress = uniaxial(material, axial)
    np.testing.assert_allclose(stress, [125.0, top, -top, -top - slope * 0.002], rtol=1e-10)


def test_uniaxial_kinematic_hardening_shows_bauschinger():
    """Prager hardening: the elastic range keeps its width of twice the yield stress."""
    material = J2Plasticity(E, NU, 250.0, kinematic_modulus=10e3)
    plastic = 0.01
    top = 250.0 + 10e3 * plastic
    reached = top / E + plastic
    back = reached - 2 * 250.0 / E
    slope = E * 10e3 / (E + 10e3)
    stress = uniaxial(material, jnp.array([reached, back, back - 0.002, back - 0.002 + 500.0 / E]))
    exact = [top, top - 500.0, top - 500.0 - slope * 0.002, top - slope * 0.002]
    np.testing.assert_allclose(stress, exact, rtol=1e-10)


def test_uniaxial_voce_hardening_with_all_terms():
    material = J2Plasticity(E, NU, 250.0, 1e3, 120.0, 30.0, 2e3)
    plastic = np.array([0.001, 0.01, 0.05, 0.2])
    exact = 250.0 + 3e3 * plastic + 120.0 * (1 - np.exp(-30.0 * plastic))
    stress = uniaxial(material, jnp.asarray(plastic + exact / E))
    np.testing.assert_allclose(stress, exact, rtol=1e-10)


def test_pure_shear_yields_at_the_mises_stress():
    r"""$\tau = \sigma_0/\sqrt3 + \tfrac13 (H + C)\,\gamma^p$ as in the torsion of a thin tube."""
    material = J2Plasticity(E, NU, 250.0, 5e3, kinematic_modulus=4e3)
    plastic = np.array([0.0, 0.002, 0.02])
    exact = 250.0 / np.sqrt(3) + 9e3 / 3 * plastic
    gamma = plastic + exact / MU
    strains = jnp.zeros((3, 3, 3)).at[:, 0, 1].set(gamma / 2).at[:, 1, 0].set(gamma / 2)
    stress = follow(material, strains, jnp.arange(3.0))
    np.testing.assert_allclose(stress[:, 0, 1], exact, rtol=1e-12)
    np.testing.assert_allclose(jnp.trace(stress, axis1=1, axis2=2), 0, atol=1e-9)


def test_plastic_stress_stays_on_the_yield_surface():
    material = J2Plasticity(E, NU, 250.0, 5e3, 50.0, 100.0, 4e3)
    rng = np.random.default_rng(3)
    a = rng.uniform(-0.02, 0.02, (5, 3, 3))
    state = material.initial_state()
    for strain in jnp.asarray(a + a.transpose(0, 2, 1)):
        stress, state = material.update(strain, state, 1.0)
        back = 2 / 3 * 4e3 * state.plastic_strain
        flow = float(material.flow_stress(state.accumulated))
        assert float(von_mises(stress - back)) == pytest.approx(flow, rel=1e-12)
        assert float(jnp.trace(state.plastic_strain)) == pytest.approx(0, abs=1e-15)


def test_perfect_plasticity_without_hardening():
    stress = uniaxial(J2Plasticity(E, NU, 250.0), jnp.array([0.01, 0.02]))
    np.testing.assert_allclose(stress, 250.0, rtol=1e-10)


# Viscoelasticity

SERIES = [(0.3, 2.0), (0.25, 20.0)]


def shear_modulus(t):
    return MU * (1 - sum(g * (1 - np.exp(-t / tau)) for g, tau in SERIES))


def test_relaxation_after_a_jump_is_exact_at_any_step():
    """A jump in a step of no length, then few long steps of unequal length."""
    material = Prony(E, NU, SERIES, [(0.2, 5.0)])
    strain = jnp.array([[0.01, 0.004, 0.0], [0.004, -0.002, 0.0], [0.0, 0.0, 0.001]])
    times = np.array([0.0, 0.5, 7.0, 100.0, 2000.0])
    stress = follow(material, jnp.broadcast_to(strain, (5, 3, 3)), jnp.asarray(times))
    bulk = E / (3 * (1 - 2 * NU)) * (1 - 0.2 * (1 - np.exp(-times / 5.0)))
    np.testing.assert_allclose(stress[:, 0, 1], 2 * shear_modulus(times) * 0.004, rtol=1e-13)
    np.testing.assert_allclose(jnp.trace(stress, axis1=1, axis2=2), 3 * bulk * 0.009, rtol=1e-13)


def test_ramp_is_exact_at_any_step():
    r"""Constant rate: $\tau(t) = \dot\gamma \int_0^t G$."""
    material = Prony(E, NU, SERIES)
    times = np.array([0.0, 0.1, 3.0, 50.0])
    gamma = 1e-4 * jnp.asarray(times)
    strains = jnp.zeros((4, 3, 3)).at[:, 0, 1].set(gamma / 2).at[:, 1, 0].set(gamma / 2)
    stress = follow(material, strains, jnp.asarray(times))
    integral = MU * (times - sum(g * (times - tau * (1 - np.exp(-times / tau))) for g, tau in SERIES))
    np.testing.assert_allclose(stress[:, 0, 1], 1e-4 * integral, rtol=1e-12, atol=1e-18)


def test_creep_of_a_standard_solid_converges_with_second_order():
    r"""Constant shear stress on a spring beside one Maxwell element: $J(t) = \frac{1}{G_\infty} -
    \big(\frac{1}{G_\infty} - \frac{1}{G_0}\big) e^{-t/\tau_c}$ with $\tau_c = \tau G_0/G_\infty$."""
    share, tau, final = 0.6, 3.0, 10.0
    material = Prony(E, NU, [(share, tau)])
    slow = MU * (1 - share)
    exact = 1 / slow - (1 / slow - 1 / MU) * np.exp(-final / (tau * MU / slow))

    def creep(n):
        @jax.jit
        def step(state, dt):
            def shear(gamma):
                strain = jnp.zeros((3, 3)).at[0, 1].set(gamma / 2).at[1, 0].set(gamma / 2)
                stress, new = material.update(strain, state, dt)
                return stress[0, 1], new

            (offset, _), slope = shear(jnp.zeros(())), jax.grad(lambda g: shear(g)[0])(0.0)
            gamma = (1.0 - offset) / slope
            return shear(gamma)[1], gamma

        steps = jnp.concatenate([jnp.zeros(1), jnp.full(n, final / n)])
        return float(jax.lax.scan(step, material.initial_state(), steps)[1][-1])

    errors = np.array([abs(creep(n) - exact) for n in (10, 20, 40)])
    assert errors[-1] < 1e-3 * exact
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 1.9)


def test_relaxation_of_a_bar_with_equal_series():
    """With the same series in shear and bulk Poisson's ratio is constant, and a bar relaxes as E(t)."""
    material = Prony(E, NU, SERIES, SERIES)
    times = np.array([0.0, 1.0, 10.0, 100.0])
    stress = uniaxial(material, jnp.full(4, 0.01), jnp.asarray(times))
    np.testing.assert_allclose(stress, 0.01 * E * shear_modulus(times) / MU, rtol=1e-10)
