"""What every material must satisfy. A new material is one row of a table here."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
    lame_constants,
)
from gemel.engine.parameters import Parameter
from gemel.engine.priors import Normal

E, NU = 2.0e3, 0.3
MU = E / (2 * (1 + NU))
BULK = E / (3 * (1 - 2 * NU))
LAME = E * NU / ((1 + NU) * (1 - 2 * NU))
AXES = MaterialAxes(jnp.asarray(Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()), 0.4)

# Each row: a material, and how far (in strain) the tests load it. At zero strain each is `Isotropic(E, NU)`.
SMALL = {
    "isotropic": (Isotropic(E, NU), 0.01),
    "orthotropic": (Orthotropic(E, E, E, NU, NU, NU, MU, MU, MU, AXES), 0.01),
    "thermal strain": (ThermalStrain(Isotropic(E, NU), 1e-5, 293.0, 293.0), 0.01),
    "J2, elastic range": (J2Plasticity(E, NU, 1e3, 10.0), 0.01),
    "J2, plastic range": (J2Plasticity(E, NU, 5.0, 10.0, 3.0, 40.0, 20.0), 0.01),
    "Prony": (Prony(E, NU, [(0.3, 1.0), (0.2, 10.0)], [(0.1, 3.0)]), 0.01),
}
# At zero strain each is isotropic with shear modulus MU and bulk modulus BULK.
FINITE = {
    "neo-Hookean": NeoHookean(MU, LAME),
    "Mooney-Rivlin": MooneyRivlin(0.3 * MU, 0.2 * MU, BULK),
    "Ogden": Ogden([0.8 * MU, 0.1 * MU, -0.1 * MU], [1.75, 5.0, -1.0], BULK),
}
small = pytest.mark.parametrize(("material", "size"), SMALL.values(), ids=SMALL.keys())
finite = pytest.mark.parametrize("material", FINITE.values(), ids=FINITE.keys())


def random_tensor(seed, size=1.0):
    return size * jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (3, 3)))


def random_strain(seed, size):
    a = random_tensor(seed, size)
    return 0.5 * (a + a.T)


def isotropic_tangent():
    eye = jnp.eye(3)
    identity = 0.5 * (jnp.einsum("ik,jl->ijkl", eye, eye) + jnp.einsum("il,jk->ijkl", eye, eye))
    return LAME * jnp.einsum("ij,kl->ijkl", eye, eye) + 2 * MU * identity


# Compiled once for each kind of material: its numbers are arguments.
@jax.jit
def update(material, strain, state, dt):
    return material.update(strain, state, dt)


@jax.jit
def tangent_of(material, strain, state, dt):
    return material.tangent(strain, state, dt)


@jax.jit
def finite_of(material, deformation):
    """Energy, first Piola-Kirchhoff stress, Cauchy stress and tangent."""
    return (
        material.energy(deformation),
        material.first_piola(deformation),
        material.cauchy(deformation),
        material.tangent(deformation),
    )


def loaded_state(material, size):
    """The state after a step, so that history is not all zero."""
    return update(material, random_strain(5, size), material.initial_state(), 0.7)[1]


@partial(jax.jit, static_argnums=0)
def _remainders(function, arguments, x, direction, steps):
    value, slope = jax.jvp(lambda y: function(arguments, y), (x,), (direction,))

    def remainder(h):
        moved = jax.tree.map(lambda a, b: a + h * b, x, direction)
        return jnp.linalg.norm(function(arguments, moved) - value - h * slope)

    return jnp.linalg.norm(value), jax.vmap(remainder)(steps)


def assert_second_order(function, arguments, x, direction):
    """The Taylor remainder of ``function(arguments, x)`` with the gradient falls with the square of the step."""
    size, remainders = _remainders(function, arguments, x, direction, jnp.array([1e-2, 5e-3, 2.5e-3]))
    if float(jnp.max(remainders)) < 1e-12 * float(size) + 1e-300:
        return  # affine
    orders = np.log2(np.asarray(remainders[:-1] / remainders[1:]))
    assert np.all(orders > 1.9), remainders


def stress_in_small_strain(arguments, strain):
    material, state = arguments
    return material.update(strain, state, 0.5)[0]


def energy_in(material, deformation):
    return material.energy(deformation)


def stress_in(material, deformation):
    return material.first_piola(deformation)


def as_arrays(material):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), material)


@small
def test_small_strain_reference_state(material, size):
    stress, state = update(material, jnp.zeros((3, 3)), material.initial_state(), 1.0)
    assert jnp.all(stress == 0)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(state))
    assert jax.tree.structure(state) == jax.tree.structure(material.initial_state())


@small
def test_small_strain_limit_is_isotropic(material, size):
    tangent = tangent_of(material, jnp.zeros((3, 3)), material.initial_state(), 0.0)
    np.testing.assert_allclose(tangent, isotropic_tangent(), atol=1e-9 * E)


@small
def test_small_strain_stress_is_symmetric(material, size):
    stress, _ = update(material, random_strain(1, size), loaded_state(material, size), 0.5)
    np.testing.assert_allclose(stress, stress.T, atol=1e-10 * E * size)


@small
def test_small_strain_tangent_symmetry(material, size):
    tangent = tangent_of(material, random_strain(2, size), loaded_state(material, size), 0.5)
    assert material.symmetric
    np.testing.assert_allclose(tangent, jnp.transpose(tangent, (2, 3, 0, 1)), atol=1e-8 * E)
    assert jnp.max(jnp.abs(tangent)) > 0.1 * E


@small
def test_small_strain_tangent_is_the_derivative(material, size):
    arguments = (material, loaded_state(material, size))
    assert_second_order(stress_in_small_strain, arguments, random_strain(3, 1.5 * size), random_strain(4, size))


@small
def test_linear_materials_are_affine(material, size):
    state = loaded_state(material, size)
    stress = [update(material, scale * random_strain(8, size), state, 0.5)[0] for scale in (0.0, 1.0, 2.0)]
    curvature = float(jnp.linalg.norm(stress[2] - 2 * stress[1] + stress[0]))
    if material.linear:
        assert curvature < 1e-10 * E * size


def work_over_a_path(scale, material):
    """A functional of the stress in three steps."""
    path = scale * jnp.stack([random_strain(seed, 1.0) for seed in (1, 2, 3)])

    def step(state, strain):
        stress, state = material.update(strain, state, 0.3)
        return state, jnp.sum(stress * strain + stress)

    return jnp.sum(jax.lax.scan(step, material.initial_state(), path)[1])


work_gradient = jax.jit(jax.grad(work_over_a_path, argnums=1))


def scaled_numbers(material, size):
    """A change of every number of a material, in proportion to it."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: size * leaf * rng.uniform(-1, 1, jnp.shape(leaf)), material)


@small
def test_an_update_without_change_changes_nothing(material, size):
    """A path recovers the stress of a converged step from its committed history."""
    strain = random_strain(1, size)
    stress, state = update(material, strain, loaded_state(material, size), 0.5)
    again, kept = update(material, strain, state, 0.0)
    np.testing.assert_allclose(again, stress, atol=1e-10 * E * size)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-14)


@small
def test_gradients_of_a_history_by_every_number(material, size):
    """Reverse mode through three steps, also at zero strain (where a norm has no derivative), without NaN."""
    material = as_arrays(material)
    for scale in (0.0, size):
        gradient = work_gradient(scale, material)
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient)) > 0
    assert_second_order(work_over_a_path, size, material, scaled_numbers(material, 1.0))


@small
def test_updates_are_batched(material, size):
    strains = jnp.stack([jnp.zeros((3, 3)), random_strain(1, size), random_strain(2, size)])
    state = material.initial_state()
    batched, tangents = jax.jit(
        jax.vmap(lambda e: (material.update(e, state, 0.3)[0], material.tangent(e, state, 0.3)))
    )(strains)
    single = jnp.stack([update(material, e, state, 0.3)[0] for e in strains])
    np.testing.assert_allclose(batched, single, atol=1e-12 * E)
    assert jnp.all(jnp.isfinite(tangents))


@finite
def test_finite_strain_reference_state(material):
    energy, piola, cauchy, tangent = finite_of(material, jnp.eye(3))
    assert abs(float(energy)) < 1e-12 * E
    np.testing.assert_allclose(piola, 0, atol=1e-12 * E)
    np.testing.assert_allclose(cauchy, 0, atol=1e-12 * E)
    np.testing.assert_allclose(tangent, isotropic_tangent(), atol=1e-9 * E)


@finite
def test_finite_strain_objectivity_and_isotropy(material):
    deformation = jnp.eye(3) + random_tensor(1, 0.3)
    rotation = jnp.asarray(Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix())
    energy, _, stress, _ = finite_of(material, deformation)
    turned_energy, _, turned_stress, _ = finite_of(material, rotation @ deformation)
    np.testing.assert_allclose(turned_energy, energy, rtol=1e-12)
    np.testing.assert_allclose(turned_stress, rotation @ stress @ rotation.T, atol=1e-11 * E)
    other_energy, _, other_stress, _ = finite_of(material, deformation @ rotation)
    np.testing.assert_allclose(other_energy, energy, rtol=1e-12)
    np.testing.assert_allclose(other_stress, stress, atol=1e-11 * E)


@finite
def test_finite_strain_stress_and_tangent_symmetry(material):
    _, _, stress, tangent = finite_of(material, jnp.eye(3) + random_tensor(2, 0.3))
    np.testing.assert_allclose(stress, stress.T, atol=1e-12 * E)
    np.testing.assert_allclose(tangent, jnp.transpose(tangent, (2, 3, 0, 1)), atol=1e-10 * E)


@finite
@pytest.mark.parametrize("stretches", [(1.0, 1.0, 1.0), (1.3, 1.3, 0.8), (1.4, 1.1, 0.7)])
def test_finite_strain_derivatives(material, stretches):
    """Stress and tangent at distinct, double and triple stretches."""
    deformation, direction = jnp.diag(jnp.array(stretches)), random_tensor(3)
    assert_second_order(energy_in, material, deformation, direction)
    assert_second_order(stress_in, material, deformation, direction)


@finite
def test_finite_strain_gradients_by_every_number(material):
    material = as_arrays(material)
    reverse = jax.jit(lambda f, m: jax.grad(lambda m: jnp.sum(m.first_piola(f) * random_tensor(4)))(m))
    for deformation in (jnp.eye(3), 1.1 * jnp.eye(3), jnp.eye(3) + random_tensor(2, 0.3)):
        gradient = reverse(deformation, material)
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert_second_order(stress_of_numbers, deformation, material, scaled_numbers(material, 1.0))


def stress_of_numbers(deformation, material):
    return material.first_piola(deformation)


@finite
def test_inverted_deformation_is_not_a_number(material):
    """A step that turns a point inside out must not look like a solution."""
    _, stress, _, _ = finite_of(material, jnp.diag(jnp.array([1.0, 1.0, -0.5])))
    assert not bool(jnp.all(jnp.isfinite(stress)))


def test_lame_constants():
    first, mu = lame_constants(E, NU)
    assert float(first) == pytest.approx(LAME)
    assert float(mu) == pytest.approx(MU)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Isotropic(-1.0, 0.3), "Young's modulus must be positive, not -1."),
        (lambda: Isotropic({"steel": 1.0, "rubber": 0.0}, 0.3), "Young's modulus of region 'rubber' must be positive"),
        (lambda: Isotropic(1.0, 0.5), "Poisson's ratio must be between -1 and 0.5, both excluded, not 0.5."),
        (lambda: Isotropic(float("nan"), 0.3), "Young's modulus must be positive, not nan."),
        (lambda: Isotropic(np.array([1.0, -2.0]), 0.3), "Young's modulus must be positive, not -2."),
        (lambda: Orthotropic(1, 1, 1, 0.9, 0.9, 0.9, 1, 1, 1), "must be positive definite"),
        (lambda: Orthotropic(1, 1, 1, 0.3, 0.3, 0.3, 1, 0, 1), "The modulus g13 must be positive, not 0."),
        (lambda: MaterialAxes(2 * np.eye(3)), "right-handed rotation matrix"),
        (lambda: ThermalStrain(Isotropic(1.0, 0.3), np.inf, 300.0, 293.0), "thermal expansion must be finite, not inf"),
        (lambda: NeoHookean(0.0, 1.0), "The shear modulus must be positive, not 0."),
        (lambda: NeoHookean(1.0, -1.0), "The first Lamé parameter must be zero or positive, not -1."),
        (lambda: MooneyRivlin(1.0, -2.0, 1.0), "c10 + c01 of a Mooney-Rivlin material must be positive, not -1."),
        (lambda: MooneyRivlin(1.0, 0.0, 0.0), "The bulk modulus must be positive, not 0."),
        (lambda: Ogden([1.0], [0.0], 1.0), "An exponent of an Ogden material must be other than zero, not 0."),
        (lambda: Ogden([1.0], [1.0, 2.0], 1.0), "not 1 moduli and 2 exponents"),
        (lambda: Ogden([1.0], [-2.0], 1.0), "The sum of modulus times exponent of an Ogden material must be positive"),
        (lambda: J2Plasticity(1.0, 0.3, 0.0), "The yield stress must be positive, not 0."),
        (lambda: J2Plasticity(1.0, 0.3, 1.0, -1.0), "The hardening modulus must be zero or positive, not -1."),
        (
            lambda: Prony(1.0, 0.3, [(0.6, 1.0), (0.5, 2.0)]),
            "The sum of shear shares of a Prony series must be below 1",
        ),
        (
            lambda: Prony(1.0, 0.3, [], [(0.5, 0.0)]),
            "A bulk relaxation time of a Prony series must be positive, not 0.",
        ),
        (lambda: Prony(1.0, 0.3, [(0.5,)]), "must hold pairs"),
    ],
)
def test_numbers_out_of_range(build, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert sentence in str(caught.value)


def test_placeholders_and_traced_numbers_pass():
    @jax.jit
    def stiffness(modulus):
        return Isotropic(modulus, 0.3).tangent(jnp.zeros((3, 3)), None, 0.0)[0, 0, 0, 0]

    assert float(stiffness(-1.0)) < 0
    wide = Parameter("nu", Normal(1.0, 1.0))  # of which one value in three is a Poisson's ratio
    assert Isotropic(1.0, wide).initial_state() is None
    with pytest.raises(ValueError, match="the prior of 'nu' has no such value"):
        Isotropic(1.0, Parameter("nu", Normal(5.0, 1.0)))
    assert Isotropic(object(), 0.3).initial_state() is None
